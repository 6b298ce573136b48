"""The agent that acts out a task's reference, and how a reference's arguments are read."""

from collections.abc import Mapping
from typing import Any

import orjson

from synthagent.errors import TaskFault
from synthagent.schema.messages import AssistantTurn, Protocol, ToolCall
from synthagent.schema.tasks import AskStep, CallStep, Fact, ReferenceStep, SayStep
from synthagent.simulation.agent import View


class Reference:
    """Acts out a list of reference steps under any protocol.

    It knows a fact's value only once it has asked for it, and an id only from a tool result: `resolve` raises
    `TaskFault` otherwise. When the steps are spent and the user still talks, it repeats its last words.
    """

    def __init__(self, steps: tuple[ReferenceStep, ...], facts: tuple[Fact, ...], name: str = "scripted:reference"):
        self.name = name
        self._steps = steps
        self._facts = {fact.id: fact.value for fact in facts}
        self._asked: set[str] = set()
        self._arguments: dict[int, Any] = {}
        self._next = 0
        self._last = "Goodbye."

    async def act(self, view: View) -> AssistantTurn:
        if self._next >= len(self._steps):
            return speak(self._last, view.protocol, final=True)
        number, step = self._next, self._steps[self._next]
        self._next += 1
        final = self._next == len(self._steps)
        match step:
            case AskStep(ask=fact_id, text=text):
                self._asked.add(fact_id)
                self._last = text
                return speak(text, view.protocol, final=False, number=number)
            case SayStep(say=text):
                self._last = text
                return speak(text, view.protocol, final=final, number=number)
            case CallStep(call=tool, args=args):
                known = {fact_id: value for fact_id, value in self._facts.items() if fact_id in self._asked}
                arguments = self._arguments[number] = resolve(args, known, results_of(view))
                return call(tool, arguments, number)


def results_of(view: View) -> dict[int, Any]:
    """Step number -> result, read from the history."""
    found = {}
    for message in view.messages:
        if message["role"] == "tool" and message["tool_call_id"].startswith("step_"):
            try:
                found[int(message["tool_call_id"][5:])] = orjson.loads(message["content"])
            except orjson.JSONDecodeError:
                continue  # the answer to ask_user is plain text
    return found


def resolve(value: Any, facts: Mapping[str, Any], results: Mapping[int, Any]) -> Any:
    """Replaces `{"$fact": ID}` and `{"$from": "STEP.path"}` by what they stand for. Raises `TaskFault`."""
    if isinstance(value, list):
        return [resolve(item, facts, results) for item in value]
    if not isinstance(value, dict):
        return value
    if "$fact" in value:
        if value["$fact"] not in facts:
            raise TaskFault(f"reference: fact '{value['$fact']}' is used before it was asked for", reason="reference")
        return facts[value["$fact"]]
    if "$from" not in value:
        return {key: resolve(item, facts, results) for key, item in value.items()}
    step, _, path = str(value["$from"]).partition(".")
    if not step.isdigit() or int(step) not in results:
        raise TaskFault(f"reference: $from '{value['$from']}' names no earlier call", reason="reference")
    found = dig(results[int(step)], path)
    if "where" in value:
        wanted = {column: resolve(item, facts, results) for column, item in value["where"].items()}
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise TaskFault(f"reference: step {step} gave no list of rows to choose from", reason="reference")
        rows = [row for row in found if all(same(row.get(c), v) for c, v in wanted.items())]
        if len(rows) != 1:
            raise TaskFault(f"reference: {len(rows)} rows of step {step} match {wanted}", reason="reference")
        found = rows[0]
    return dig(found, value["take"]) if "take" in value else found


def dig(value: Any, path: str) -> Any:
    """Follows a dotted path through objects and lists. Raises `TaskFault`."""
    for part in filter(None, path.split(".")):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TaskFault(f"reference: nothing at '{path}'", reason="reference") from error
    return value


def same(one: Any, two: Any) -> bool:
    """Equal, whatever the case of text."""
    if isinstance(one, str) and isinstance(two, str):
        return one.casefold() == two.casefold()
    return bool(one == two)


def speak(text: str, protocol: Protocol, *, final: bool, number: int = 0) -> AssistantTurn:
    """Says something to the user in the protocol's form; `final`: as the last word, where there is such a thing."""
    if protocol == "tags":
        tag = "answer" if final else "question"
        return AssistantTurn(content=f"<{tag}>{text}</{tag}>")
    if protocol == "tools" and not final:
        return call("ask_user", {"question": text}, number)
    return AssistantTurn(content=text)


def call(tool: str, arguments: Mapping[str, Any], number: int) -> AssistantTurn:
    raw = orjson.dumps(arguments).decode()
    return AssistantTurn(tool_calls=(ToolCall(id=f"step_{number}", name=tool, arguments=raw),))
