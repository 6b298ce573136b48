"""From the bytes of a chat completion request to what a model is asked. The bytes are hostile: all of it is checked.

Shape: https://platform.openai.com/docs/api-reference/chat/create. A field that would change the answer and cannot be
kept is refused by its name: a benchmark's figure must not come of settings that nobody kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.schema.messages import Message

MOST_STOPS = 4
"""Stop sequences of a request, as OpenAI has it."""
_IGNORED = frozenset({
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
})  # fmt: skip
"""Fields that say nothing of the answer."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_p": (0,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "top_k": (0, -1),
    "top_logprobs": (0,),
}
"""Fields that are not kept, and the values at which they ask for nothing."""
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


class Refused(Exception):
    """A request that gets no answer; the fields are those of OpenAI's error object."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read."""

    messages: list[Message]
    """In the form in which an episode's history has them."""
    tools: list[dict[str, Any]]
    """Those that may be called; none where `tool_choice` is `none`."""
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    stream_usage: bool
    """Whether a stream ends with what it cost."""


def read_request(body: bytes, name: str) -> Asked:
    """Reads a request to the model `name`. Raises `Refused`."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise Refused("the body is not a JSON object")
    # OpenAI takes null for a field that is left out.
    fields = {field: value for field, value in given.items() if value is not None}
    wanted = _text(fields.pop("model", name), "model")
    if wanted != name:
        raise Refused(f"there is no model '{wanted}' here, only '{name}'", status=404, param="model",
                      code="model_not_found")  # fmt: skip
    messages = _messages(fields.pop("messages", None))
    tools = _chosen(_tools(fields.pop("tools", [])), fields.pop("tool_choice", "auto"))
    stream = _flag(fields.pop("stream", False), "stream")
    options = fields.pop("stream_options", {})
    asked = Asked(
        messages=messages,
        tools=tools,
        max_tokens=_most(fields.pop("max_tokens", None), fields.pop("max_completion_tokens", None)),
        temperature=_number(fields.pop("temperature", None), "temperature", lambda x: 0 <= x <= 2, "from 0 to 2"),
        top_p=_number(fields.pop("top_p", None), "top_p", lambda x: 0 < x <= 1, "above 0, at most 1"),
        seed=_whole(fields.pop("seed", None), "seed", -(2**63)),
        stop=_stops(fields.pop("stop", [])),
        stream=stream,
        stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )
    if (n := fields.pop("n", 1)) != 1 or n is True:
        raise Refused("only one choice is given: ask again for another", param="n")
    _refuse_others(fields)
    return asked


def _refuse_others(fields: Mapping[str, Any]) -> None:
    for field, value in fields.items():
        if field in _IGNORED:
            continue
        neutral = _NEUTRAL.get(field, ())
        if not any(value == kept and isinstance(value, bool) == isinstance(kept, bool) for kept in neutral):
            only = f", other than as {' or '.join(orjson.dumps(kept).decode() for kept in neutral)}" if neutral else ""
            raise Refused(f"'{field}' is not kept here{only}: leave it out", param=field, code="unsupported_parameter")


# ---- plain fields


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"'{where}' is not text", param=where)
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise Refused(f"'{where}' is neither true nor false", param=where)
    return value


def _number(value: Any, where: str, good: Callable[[float], bool], bounds: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not good(value):
        raise Refused(f"'{where}' is not a number {bounds}", param=where)
    return float(value)


def _whole(value: Any, where: str, least: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise Refused(f"'{where}' is not a whole number from {least} on", param=where)
    return value


def _most(old: Any, new: Any) -> int | None:
    """Longest reply: OpenAI has two names for it."""
    one, two = _whole(old, "max_tokens", 1), _whole(new, "max_completion_tokens", 1)
    if one is not None and two is not None and one != two:
        raise Refused("'max_tokens' and 'max_completion_tokens' differ", param="max_tokens")
    return two if one is None else one


def _stops(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > MOST_STOPS or not all(isinstance(s, str) and s for s in listed):
        raise Refused(f"'stop' is neither text nor a list of at most {MOST_STOPS} texts", param="stop")
    return tuple(listed)


# ---- tools


def _tools(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Refused("'tools' is not a list", param="tools")
    for place, tool in enumerate(value):
        _check_tool(tool, f"tools[{place}]")
    return value


def _check_tool(tool: Any, where: str) -> None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type", "function") != "function":
        raise Refused(f"'{where}' is no function", param=where)
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise Refused(f"'{where}.function.name' is missing", param=where)
    if not isinstance(function.get("description") or "", str):
        raise Refused(f"'{where}.function.description' is not text", param=where)
    schema = function.get("parameters") or {}
    good = isinstance(schema, dict) and isinstance(schema.get("properties", {}), dict)
    required = schema.get("required", []) if good else []
    if not good or not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise Refused(f"'{where}.function.parameters' is no JSON Schema of an object", param=where)


def _chosen(tools: list[dict[str, Any]], choice: Any) -> list[dict[str, Any]]:
    if choice == "none":
        return []
    if choice == "auto":
        return tools
    told = choice if isinstance(choice, str) else orjson.dumps(choice).decode()
    raise Refused(
        f"'tool_choice' {told} is not kept: whether and what to call is the model's to choose; use auto or none",
        param="tool_choice",
        code="unsupported_parameter",
    )


# ---- messages


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise Refused("'messages' is not a list with an entry", param="messages")
    return [_message(message, f"messages[{place}]") for place, message in enumerate(value)]


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise Refused(f"'{where}' is not an object", param=where)
    role = _ROLES.get(value["role"]) if isinstance(value.get("role"), str) else None
    if role is None:
        raise Refused(f"'{where}.role' is not one of {', '.join(_ROLES)}", param=f"{where}.role")
    if value.get("function_call") is not None:
        raise Refused(f"'{where}.function_call' is of the old form: use tool_calls", param=f"{where}.function_call")
    if value.get("content") is None and role != "assistant":
        raise Refused(f"'{where}.content' is missing", param=f"{where}.content")
    message: Message = {"role": role}
    if role == "tool":
        message["tool_call_id"] = _text(value.get("tool_call_id"), f"{where}.tool_call_id")
    message["content"] = _content(value.get("content"), f"{where}.content")
    calls = value.get("tool_calls") or []
    if calls and role != "assistant":
        raise Refused(f"'{where}.tool_calls': only the assistant calls tools", param=f"{where}.tool_calls")
    if calls:
        message["tool_calls"] = _calls(calls, f"{where}.tool_calls")
    return message


def _content(value: Any, where: str) -> str:
    """Text, or the text of parts that are nothing else."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise Refused(f"'{where}' is neither text nor a list of parts", param=where)
    texts = []
    for place, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "refusal"):
            raise Refused(f"'{where}[{place}]' is no text, and nothing else is read here", param=where)
        texts.append(_text(part.get(kind), f"{where}[{place}].{kind}"))
    return "".join(texts)


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Refused(f"'{where}' is not a list", param=where)
    found = []
    for place, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or call.get("type", "function") != "function":
            raise Refused(f"'{where}[{place}]' calls no function", param=where)
        parts = (("id", call), ("name", function), ("arguments", function))
        call_id, name, arguments = (_text(holder.get(part), f"{where}[{place}].{part}") for part, holder in parts)
        found.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})
    return found


def fresh_number(messages: Sequence[Message]) -> int:
    """The number of the next turn: no id `call_<number>_<n>` was given in the history yet."""
    number = len([message for message in messages if message["role"] == "assistant"])
    used = [str(call["id"]) for message in messages for call in message.get("tool_calls", ())]
    while any(call_id.startswith(f"call_{number}_") for call_id in used):
        number += 1
    return number
