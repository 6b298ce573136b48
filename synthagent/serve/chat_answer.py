"""What an OpenAI-compatible endpoint sends: completions, streams of one chunk, errors."""

from collections.abc import Iterator
from typing import Any

import orjson

from synthagent.llm.model import ChatReply, ContextOverflow, TransientFailure
from synthagent.schema.messages import ToolCall, Usage
from synthagent.serve.chat_request import Refused
from synthagent.simulation.agent import ToolForm
from synthagent.simulation.model_agent import turn_of

OVERFLOW = "context_length_exceeded"
"""OpenAI's code for a prompt beyond the model's window."""
_PASSED_ON = ("length", "content_filter")
"""Finish reasons that are kept, whatever was written."""


def answered(reply: ChatReply, form: ToolForm, number: int, *, tools: bool) -> ChatReply:
    """A model's reply as the wire has it: calls read out of the text, ids that no other turn has.

    What cannot be read as a call stays in the text, all of it: that is the model's own doing, and not mended. Without
    `tools` a reply is text and nothing else.
    """
    if not tools:
        return ChatReply(reply.content, (), _finish(reply, ()), reply.usage)
    turn = turn_of(reply, form, number)
    if turn.malformed:
        return ChatReply(reply.content, (), _finish(reply, ()), reply.usage)
    return ChatReply(turn.content, turn.tool_calls, _finish(reply, turn.tool_calls), reply.usage)


def _finish(reply: ChatReply, calls: tuple[ToolCall, ...]) -> str:
    if reply.finish_reason in _PASSED_ON:
        return reply.finish_reason
    return "tool_calls" if calls else "stop"


def completion(reply: ChatReply, model: str, answer_id: str, created: int) -> dict[str, Any]:
    """A `chat.completion` object."""
    message: dict[str, Any] = {"role": "assistant", "content": _content(reply), "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    head = _head("chat.completion", model, answer_id, created)
    return {**head, "choices": [choice], "usage": _usage(reply.usage)}


def stream(reply: ChatReply, model: str, answer_id: str, created: int, *, usage: bool) -> Iterator[bytes]:
    """The same as server-sent events: all of it in one delta, then how it ended, then what it cost if that is asked."""
    delta: dict[str, Any] = {"role": "assistant", "content": _content(reply)}
    if reply.tool_calls:
        delta["tool_calls"] = [{"index": n, **_call(call)} for n, call in enumerate(reply.tool_calls)]
    head = _head("chat.completion.chunk", model, answer_id, created)
    choices = [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reply.finish_reason}],
    ]
    for choice in choices:
        yield _event({**head, "choices": choice, **({"usage": None} if usage else {})})
    if usage:
        yield _event({**head, "choices": [], "usage": _usage(reply.usage)})
    yield b"data: [DONE]\n\n"


def failure(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for what went wrong, in OpenAI's form."""
    match error:
        case Refused():
            return error.status, _error(str(error), "invalid_request_error", error.param, error.code)
        case ContextOverflow():
            # The words are OpenAI's, by which clients know it that look at no code.
            text = f"This goes beyond the model's maximum context length: {error}"
            return 400, _error(text, "invalid_request_error", "messages", OVERFLOW)
        case TransientFailure():
            return 503, _error(str(error), "server_error", None, error.reason)
    reason = getattr(error, "reason", None) or type(error).__name__
    return 500, _error(f"{error or type(error).__name__}", "server_error", None, reason)


def _error(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(kind: str, model: str, answer_id: str, created: int) -> dict[str, Any]:
    return {"id": answer_id, "object": kind, "created": created, "model": model}


def _content(reply: ChatReply) -> str | None:
    """None beside calls that came without a word, as OpenAI has it; else text, and be it empty."""
    return None if reply.tool_calls and not reply.content else reply.content


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(usage: Usage) -> dict[str, int]:
    total = usage.prompt + usage.completion
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "total_tokens": total}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
