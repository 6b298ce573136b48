"""A language model that stands in for tools: one pass decides whether a call is answered already, and else answers it.

The prompt grows at its end only, so that a server's prefix cache holds for all calls of a tool: what the tool is and
knows, then the state, then the entries in the order in which they came, then the call.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from synthagent import prompts
from synthagent.errors import ModelFailed, ToolFailed
from synthagent.llm.portable import portably
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.messages import Message
from synthagent.schema.tasks import Tool
from synthagent.simulation.arguments import BadArguments, check_storable
from synthagent.simulation.likeness import unlike
from synthagent.simulation.map_store import Entry
from synthagent.simulation.response_map import Simulation
from synthagent.simulation.simulated import Deed, SimulatedCall

SYSTEM, CALL = "simulation/tool", "simulation/tool_call"
MOST_SHOWN = 40
"""Entries shown in full, from the first on, so that what is shown only grows."""
MOST_LIKE = 8
"""Of the entries beyond these, those whose arguments are most like the call's."""
MOST_ROWS = 60
"""Rows of a table that are shown."""
_LONGEST = 1500
"""Characters of one answer that are shown."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """An entry as the prompt shows it."""

    when: str
    text: str


class ToolModel:
    """Asks a model to stand in for tools."""

    def __init__(self, structured: Structured, name: str):
        self.name = name
        self.prompt = f"{prompts.fingerprint(SYSTEM)}-{prompts.fingerprint(CALL)}"
        self._structured = structured

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        """See `response_map.Simulator`. Raises `ToolFailed` when the model fails, or gives nothing that can be used."""
        shown = shown_entries(call, known)
        tool = call.tool.tool

        def read(data: Any) -> tuple[Simulation | None, Sequence[str]]:
            return understood(data, call, shown)

        try:
            asked = await self._structured.ask_json(
                asked_for(call, shown), "answer", _schema(tool), read, stage="tool", sample=draw
            )
        except NotUnderstood as error:
            raise ToolFailed(f"{tool.name}: {error}", reason="not_understood") from error
        except ModelFailed as error:
            raise ToolFailed(f"{tool.name}: {error}", reason=f"model:{error.reason}") from error
        return asked.value


def shown_entries(call: SimulatedCall, known: Sequence[Entry]) -> list[Entry]:
    """The entries that a prompt shows: the first ones, and of the others those most like the call."""
    first, others = list(known[:MOST_SHOWN]), known[MOST_SHOWN:]
    if not others:
        return first
    words = _words(call.canonical)
    like = sorted(range(len(others)), key=lambda n: (-len(words & _words(others[n].arguments)), n))[:MOST_LIKE]
    return first + [others[n] for n in sorted(like)]


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def asked_for(call: SimulatedCall, shown: Sequence[Entry]) -> list[Message]:
    """The conversation in which a call is put to a model."""
    tool = call.tool.tool
    after = {moment.state: moment.deeds for moment in call.moments}
    many = bool(call.deeds)
    entries = [
        _Shown(
            f" (before step {after.get(entry.state, 0) + 1})" if many and entry.state != call.state else "",
            f"{entry.arguments} -> {_cut(entry.response)}",
        )
        for entry in shown
    ]
    return [
        {"role": "system", "content": _system(tool, call.tool.grounding, call.now)},
        {
            "role": "user",
            "content": prompts.render(
                CALL,
                tool_name=tool.name,
                arguments=call.canonical,
                rows={table: _lines(rows) for table, rows in call.rows.items()},
                deeds=[_told(deed) for deed in call.deeds],
                entries=entries,
            ),
        },
    ]


@lru_cache(maxsize=1024)
def _rendered(tool: str, outputs: str, grounding: str, now: str, list_: bool) -> str:
    return prompts.render(SYSTEM, tool=tool, outputs=outputs, grounding=grounding, now=now, list_=list_)


def _system(tool: Tool, grounding: str, now: str) -> str:
    outputs = orjson.dumps(tool.outputs).decode() if tool.outputs else ""
    function = orjson.dumps(tool.function.model_dump()).decode()
    return _rendered(function, outputs, grounding, now, _is_list(tool))


def _told(deed: Deed) -> str:
    arguments = orjson.dumps(dict(deed.arguments), option=orjson.OPT_SORT_KEYS).decode()
    return f"{deed.tool}({arguments}) -> {_cut(deed.response)}"


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [orjson.dumps(dict(row)).decode() for row in rows[:MOST_ROWS]]
    return [*lines, f"(and {len(rows) - MOST_ROWS} more)"] if len(rows) > MOST_ROWS else lines


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... (cut)"


def _is_list(tool: Tool) -> bool:
    return tool.outputs.get("type") == "array"


def _schema(tool: Tool) -> dict[str, Any]:
    """What a reply must fit."""
    result = portably(tool.outputs)
    if not _is_list(tool):
        result = {"anyOf": [*result.get("anyOf", [result]), {"type": "null"}]} if result else result
    number: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    text: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    parts = {"entry": number, "error": text, "result": result}
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def understood(data: Any, call: SimulatedCall, shown: Sequence[Entry]) -> tuple[Simulation | None, Sequence[str]]:
    """(what the model makes of the call, what is wrong with it)."""
    if not isinstance(data, Mapping) or not data.keys() & {"entry", "error", "result"}:
        return None, ['write {"entry": ..., "error": ..., "result": ...}']
    number, error, result = data.get("entry"), data.get("error"), data.get("result")
    if number is not None and not isinstance(number, bool) and number != 0:
        return _pointed(number, call, shown)
    try:
        check_storable([error, result])
        text = orjson.dumps(result).decode()
    except (BadArguments, TypeError) as bad:  # a TypeError: nested deeper than JSON libraries go
        return None, [f"the answer cannot be written as JSON: {bad}"]
    if error is not None and error is not False and not isinstance(error, str):
        return None, ["error: write what went wrong as a text, or null"]
    if isinstance(error, str) and error.strip():
        body = {"error": {"type": "precondition", "message": error.strip()[:500]}}
        return Simulation(None, False, orjson.dumps(body).decode()), ()
    outputs = call.tool.outputs
    if outputs is None and result is None:
        return None, ["result: missing: give the result, or an error"]
    if outputs is not None and not outputs.accepts(result):
        return None, [f"result: {outputs.complaint(result)}"]
    return Simulation(None, True, text), ()


def _pointed(number: Any, call: SimulatedCall, shown: Sequence[Entry]) -> tuple[Simulation | None, Sequence[str]]:
    if not isinstance(number, int) or not 1 <= number <= len(shown):
        there = f"the entries are 1 to {len(shown)}" if shown else "there are no entries yet: answer the call"
        return None, [f"entry: there is no entry {number}; {there}"]
    entry = shown[number - 1]
    differing = unlike(entry.arguments, call.canonical, call.tool.choices)
    if differing:
        return None, [f"entry: entry {number} is about another {differing}: it does not answer this call"]
    return Simulation(entry), ()
