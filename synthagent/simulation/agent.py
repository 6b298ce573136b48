"""How an agent speaks: the opening, the three dialogue protocols, and reading a turn.

- `text`: a message without a tool call goes to the user; only the user, a transfer or a limit ends.
- `tools`: `ask_user(question)` is a tool; a message without a tool call is the final answer.
- `tags` (the paper's): `<question>` goes to the user, `<answer>` ends, tool calls run, anything else is malformed.

A reasoning task is always played under `tools`, and without `ask_user`: see `spoken`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from typing import Protocol as Structural

import orjson

from synthagent.prompts import fingerprint, render
from synthagent.schema.messages import AssistantTurn, Message, Protocol, ToolCall
from synthagent.schema.tasks import Brief, Tool

ToolForm = Literal["native", "hermes", "json", "compact"]
"""`native`: tools go through the chat template. `hermes`: as lines in the system prompt, calls as `<tool_call>`.

`json`: likewise, calls as fenced JSON, for models that write nothing else, whatever their template says.
`compact`: as `hermes` with the shortest prompt that says it all, for models that are trained on it.
"""

OPENING = "simulation/opening"
REASONING = "simulation/opening_reasoning"
"""The system prompt of reasoning tasks."""
ASK_USER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "ask_user",
        "description": "Say or ask something to the user and get the answer.",
        "parameters": {
            "type": "object",
            "properties": {"question": {"type": "string"}},
            "required": ["question"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True)
class View:
    """All that an agent gets to see. It has no path to hidden facts, programs, rubric or reference (invariant 1)."""

    brief: Brief
    protocol: Protocol
    messages: Sequence[Message]
    """The opening and everything since, in OpenAI's form."""


class Agent(Structural):
    """Plays a task. One instance an episode."""

    name: str

    async def act(self, view: View) -> AssistantTurn:
        """The next turn. Raises `ModelFailed` when there is none to be had."""
        ...


def spoken(brief: Brief, protocol: Protocol) -> Protocol:
    """The protocol that an episode is played under when this one is asked for."""
    return "tools" if brief.kind == "reasoning" else protocol


def opening(brief: Brief, protocol: Protocol, now: str, form: ToolForm = "native") -> list[Message]:
    """The first messages of an episode: the only author of the system prompt, for every trainer and wire."""
    tools = _tool_lines(brief, protocol, form)
    if brief.kind == "reasoning":
        told = render(REASONING, compact_tools=tools, form=form, native=form == "native" and bool(brief.tools))
        return [{"role": "system", "content": told}, {"role": "user", "content": brief.instruction}]
    system = render(OPENING, protocol=protocol, rules=brief.rules, compact_tools=tools, form=form, today=_day(now))
    return [{"role": "system", "content": system}, {"role": "user", "content": brief.instruction}]


def opening_fingerprint() -> str:
    """Fingerprint of the system prompt's source, for manifests."""
    return fingerprint(OPENING)


def tools_for(brief: Brief, protocol: Protocol) -> list[dict[str, Any]]:
    """The tools as a chat template wants them: without what only the world needs to know."""
    tools = [{"type": "function", "function": tool.function.model_dump()} for tool in brief.tools]
    return [*tools, ASK_USER] if _may_ask(brief, protocol) else tools


def _may_ask(brief: Brief, protocol: Protocol) -> bool:
    return protocol == "tools" and brief.kind != "reasoning"


def _tool_lines(brief: Brief, protocol: Protocol, form: ToolForm) -> list[str]:
    """The tools as the system prompt lists them; none where the chat template does."""
    match form:
        case "native":
            return []
        case "compact":
            asking = [signature(ASK_USER["function"])] if _may_ask(brief, protocol) else []
            return [*(f"{signature(tool.function.model_dump())}{_gives(tool)}" for tool in brief.tools), *asking]
        case "hermes" | "json":
            return [compact(tool) for tool in tools_for(brief, protocol)]


def compact(tool: dict[str, Any]) -> str:
    """One line a tool, for small models: `renew_loan(loan_id, new_due: date) - Extend a loan.`"""
    function = tool["function"]
    return f"{signature(function)} - {function['description']}"


def _gives(tool: Tool) -> str:
    """What a tool's result holds: ` -> member_id, status`, or ` -> [loan_id, due]` for a list of rows."""
    items = tool.outputs.get("items")
    names = (items if isinstance(items, dict) else tool.outputs).get("properties", {})
    told = ", ".join(map(str, names)) if isinstance(names, dict) else ""
    return f" -> [{told}]" if told and isinstance(items, dict) else f" -> {told}" if told else ""


def signature(function: dict[str, Any]) -> str:
    """A function as one line of the system prompt begins: `renew_loan(loan_id, new_due: date)`."""
    required = set(function["parameters"].get("required", ()))
    parts = []
    for name, schema in function["parameters"].get("properties", {}).items():
        kind = schema.get("format") or ("|".join(map(str, schema["enum"])) if "enum" in schema else schema.get("type"))
        parts.append(f"{name}{'' if name in required else '?'}{'' if kind in (None, 'string') else f': {kind}'}")
    return f"{function['name']}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Calls:
    """The turn calls tools, in this order."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Says:
    """The turn goes to the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The turn is the agent's last word."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """The turn is none of what the protocol knows; the text says what would be."""

    error: str


Act = Calls | Says | Answers | Malformed

_TAGGED = re.compile(
    r"\A\s*(?:<think>.*?</think>\s*)?<(question|answer)>((?:(?!</?(?:question|answer)>).)*)</\1>\s*\Z", re.S
)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>\s*", re.S)


def read_turn(turn: AssistantTurn, protocol: Protocol) -> Act:
    """What a turn means under the protocol."""
    if turn.malformed:
        return Malformed(turn.malformed[0])
    tagged = _TAGGED.match(turn.content) if protocol == "tags" else None
    if turn.tool_calls:
        return Malformed("call tools or speak to the user, not both in one turn") if tagged else Calls(turn.tool_calls)
    if protocol == "tags":
        if tagged is None:
            return Malformed("expected a tool call, <question>...</question> or <answer>...</answer>")
        text = tagged[2].strip()
        if tagged[1] == "answer":
            return Answers(text)
        return Says(text) if text else Malformed("the question is empty")
    text = _THOUGHT.sub("", turn.content).strip()
    if protocol == "tools":
        return Answers(text)
    return Says(text) if text else Malformed("the message is empty")


def assistant_message(content: str, calls: Sequence[ToolCall]) -> Message:
    """A turn as the history has it, in OpenAI's form."""
    message: Message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return message


def asks_user(call: ToolCall, brief: Brief, protocol: Protocol) -> bool:
    return _may_ask(brief, protocol) and call.name == "ask_user"


_HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.S)


def from_hermes(text: str, turn: int) -> tuple[str, tuple[ToolCall, ...], tuple[str, ...]]:
    """Reads `<tool_call>{"name", "arguments"}</tool_call>` out of a text: (rest, calls, what was malformed).

    Nothing is repaired: a call that is not JSON, or has no name, is reported as malformed.
    """
    if "<tool_call>" not in text:
        return text, (), ()
    calls: list[ToolCall] = []
    malformed: list[str] = []
    for number, match in enumerate(_HERMES.finditer(text)):
        if not match[0].endswith("</tool_call>"):
            malformed.append("a <tool_call> is not closed")
            continue
        try:
            value = orjson.loads(match[1])
        except orjson.JSONDecodeError as error:
            malformed.append(f"the content of <tool_call> is not JSON: {error}")
            continue
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            malformed.append('a <tool_call> holds {"name": "...", "arguments": {...}}')
            continue
        arguments = value.get("arguments", {})
        try:
            raw = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        except TypeError as error:  # nested deeper than orjson writes
            malformed.append(f"the arguments of <tool_call> cannot be read: {error}")
            continue
        calls.append(ToolCall(id=f"call_{turn}_{number}", name=value["name"], arguments=raw))
    return _HERMES.sub("", text).strip(), tuple(calls), tuple(malformed)


def to_hermes(messages: Sequence[Message]) -> list[Message]:
    """A history in OpenAI's form -> the text form, for templates that know no tools."""

    def call(name: str, arguments: str) -> str:
        return f'<tool_call>{{"name": {name}, "arguments": {_inside_tag(arguments)}}}</tool_call>'

    return _as_text(messages, call, "<tool_response>", "</tool_response>")


def _as_text(
    messages: Sequence[Message], written: Callable[[str, str], str], before: str, after: str
) -> list[Message]:  # fmt: skip
    """A history in which calls and results are text. `written`: (name as JSON, raw arguments) -> a call."""
    plain: list[Message] = []
    for message in messages:
        if message["role"] == "assistant" and message.get("tool_calls"):
            functions = [call["function"] for call in message["tool_calls"]]
            calls = [written(orjson.dumps(f["name"]).decode(), f["arguments"]) for f in functions]
            plain.append({"role": "assistant", "content": "\n".join(filter(None, [message.get("content"), *calls]))})
        elif message["role"] == "tool":
            text = f"{before}{message['content']}{after}"
            if plain and plain[-1]["role"] == "user" and plain[-1]["content"].startswith(before):
                plain[-1] = {"role": "user", "content": f"{plain[-1]['content']}\n{text}"}
            else:
                plain.append({"role": "user", "content": text})
        else:
            plain.append({"role": message["role"], "content": message["content"]})
    return plain


_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.S)


def from_json(text: str, turn: int) -> tuple[str, tuple[ToolCall, ...]]:
    """Reads fenced `{"name", "arguments"}` objects out of a text, or one that is all of it: (rest, calls).

    Nothing is repaired, and what is no such object stays text.
    """
    calls: list[ToolCall] = []

    def taken(found: re.Match[str]) -> str:
        call = _call_in(found[1], f"call_{turn}_{len(calls)}")
        if call is None:
            return found[0]
        calls.append(call)
        return ""

    rest = _FENCED.sub(taken, text)
    if not calls and (bare := _call_in(text, f"call_{turn}_0")) is not None:
        return "", (bare,)
    return rest.strip(), tuple(calls)


def _call_in(text: str, call_id: str) -> ToolCall | None:
    try:
        value = orjson.loads(text)
        if isinstance(value, dict) and value.keys() == {"name", "arguments"} and isinstance(value["name"], str):
            arguments = value["arguments"]
            raw = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
            return ToolCall(id=call_id, name=value["name"], arguments=raw)
    except (orjson.JSONDecodeError, UnicodeEncodeError, TypeError):
        pass
    return None


def to_json(messages: Sequence[Message]) -> list[Message]:
    """A history in OpenAI's form -> the text form of `json`."""

    def call(name: str, arguments: str) -> str:
        return f'```json\n{{"name": {name}, "arguments": {arguments or "{}"}}}\n```'

    return _as_text(messages, call, "Result:\n", "")


def _inside_tag(arguments: str) -> str:
    """Argument text that does not end the tag it stands in: JSON may write "/" as "\\/"."""
    return arguments.replace("</", "<\\/") or "{}"


def _day(now: str) -> str:
    from datetime import datetime

    moment = datetime.fromisoformat(now)
    return f"{moment:%A}, {moment.day} {moment:%B} {moment.year}, {moment:%H:%M} ({now[:10]})"
