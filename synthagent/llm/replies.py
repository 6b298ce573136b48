"""From the bytes of an OpenAI-compatible endpoint to a `ChatReply`. The bytes are hostile: nothing is taken on trust.

Shape: https://platform.openai.com/docs/api-reference/chat/object. What vLLM, SGLang, llama.cpp and Ollama do otherwise
is noted where it is allowed for.
"""

import re
from typing import Any, NoReturn

import orjson

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatReply
from synthagent.schema.messages import ToolCall, Usage

_OVERFLOW = re.compile(
    r"context_length_exceeded"  # OpenAI's code
    r"|exceed_context_size"  # llama.cpp's type
    r"|exceeds the available context size"  # llama.cpp
    r"|maximum context length"  # OpenAI, vLLM
    r"|(?:longer|larger|greater) than the (?:maximum )?(?:model|model's) (?:context )?length"  # vLLM, SGLang
    r"|(?:exceeds?|beyond) the (?:model's |maximum )*context (?:length|window|size)"
    r"|prompt is too long"  # Anthropic behind gateways
    r"|max_new_tokens`? must be <=",  # text-generation-inference
    re.IGNORECASE,
)
_WINDOW = re.compile(
    r"(?:context length|context size|context window|model length)(?: is| of|) ?\(?(\d{2,9})", re.IGNORECASE
)


def excerpt(body: bytes | str) -> str:
    """The first 200 characters of what a server said, on one line, without what a terminal would obey."""
    text = body[:800].decode("utf-8", "replace") if isinstance(body, bytes) else body[:800]
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]


def is_overflow(body: bytes, max_tokens: int | None) -> bool:
    """Whether an error body says that the prompt does not fit the model's window.

    False if the reply we asked for would not fit an empty window either: that is a setting, nobody's long story.
    """
    text = body.decode("utf-8", "replace")
    if not _OVERFLOW.search(text):
        return False
    window = _WINDOW.search(text)
    return not (window and max_tokens is not None and max_tokens >= int(window[1]))


def parse_reply(body: bytes) -> ChatReply:
    """The first choice of a chat completion.

    Raises `ModelFailed("bad_reply")`, with the first 200 characters of the body, for anything else.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _bad(f"not JSON: {error}", body)
    try:
        message, finish = _first_choice(reply)
        return ChatReply(_content(message), _tool_calls(message), finish, _usage(reply.get("usage")))
    except _Wrong as wrong:
        _bad(str(wrong), body)


class _Wrong(Exception):
    """Which part of a reply is not what it should be."""


def _bad(what: str, body: bytes) -> NoReturn:
    text = f"the model's reply is no chat completion: {what}; it begins: {excerpt(body)}"
    raise ModelFailed(text, reason="bad_reply")


def _first_choice(reply: Any) -> tuple[dict[str, Any], str]:
    if type(reply) is not dict:
        raise _Wrong("not an object")
    choices = reply.get("choices")
    if type(choices) is not list or not choices:
        raise _Wrong("'choices' is not a list with an entry")
    choice = choices[0]
    message = choice.get("message") if type(choice) is dict else None
    if type(message) is not dict:
        raise _Wrong("'choices[0].message' is not an object")
    finish = choice.get("finish_reason")
    if finish is not None and type(finish) is not str:
        raise _Wrong("'choices[0].finish_reason' is not text")
    return message, finish or ""


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if content is None:
        # A refusal is what the model said; OpenAI sends it in a field of its own, with `content` null.
        content = message.get("refusal") or ""
    if type(content) is not str:
        raise _Wrong("'message.content' is neither text nor null")
    return content


def _tool_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls")
    if calls is None:
        return ()
    if type(calls) is not list:
        raise _Wrong("'message.tool_calls' is not a list")
    return tuple(_tool_call(call, index) for index, call in enumerate(calls))


def _tool_call(call: Any, index: int) -> ToolCall:
    function = call.get("function") if type(call) is dict else None
    if type(function) is not dict:
        raise _Wrong(f"'tool_calls[{index}].function' is not an object")
    name, call_id = function.get("name"), call.get("id")
    if type(name) is not str:
        raise _Wrong(f"'tool_calls[{index}].function.name' is not text")
    if call_id is not None and type(call_id) is not str:
        raise _Wrong(f"'tool_calls[{index}].id' is not text")
    if "arguments" not in function:
        raise _Wrong(f"'tool_calls[{index}].function.arguments' is missing")
    arguments = function["arguments"]
    if type(arguments) is not str:
        # Ollama-style servers parse the arguments. Any JSON value is passed on, since the model chose it: were a list
        # here the server's fault, a policy could escape a zero by writing one.
        try:
            arguments = orjson.dumps(arguments).decode()
        except TypeError as error:  # nested deeper than orjson writes
            raise _Wrong(f"'tool_calls[{index}].function.arguments': {error}") from error
    return ToolCall(id=call_id or f"call_{index}", name=name, arguments=arguments)


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    if type(usage) is not dict:
        raise _Wrong("'usage' is not an object")
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    if type(prompt) is not int or type(completion) is not int or prompt < 0 or completion < 0:
        raise _Wrong("'usage' does not hold token counts")
    return Usage(prompt=prompt, completion=completion)
