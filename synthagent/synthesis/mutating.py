"""Demonstrations with one thing wrong: a call dropped, an argument changed, an order swapped, a question skipped.

A check that was compiled from a demonstration is proved on these: it must be false where what it stands for is gone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from synthagent.schema.episodes import AgentEvent, Event, ToolEvent, UserEvent
from synthagent.schema.tasks import Tool
from synthagent.synthesis.demonstrations import Demonstration, acted, described, storable

MOST_TRIED = 6
"""Other values tried for an argument until the call goes through."""


def without(one: Demonstration, places: Sequence[int]) -> Demonstration:
    """Without these events and those that are the same thing once more: a repeated call, a repeated message."""
    gone = {twin for place in places for twin in twins(one, place)}
    return acted(one.stage, one.episode, [e for n, e in enumerate(one.episode.events) if n not in gone])


def twins(one: Demonstration, place: int) -> set[int]:
    """The places of all events that do the same, this one included."""
    event = one.episode.events[place]
    return {n for n, other in enumerate(one.episode.events) if _same(event, other)} | {place}


def _same(one: Event, two: Event) -> bool:
    match one, two:
        case ToolEvent(), ToolEvent():
            return (one.tool, one.arguments) == (two.tool, two.arguments)
        case UserEvent(), UserEvent():
            return one.message == two.message
        case AgentEvent(answer=str() as said), UserEvent(message=message):
            return said == message
        case UserEvent(message=message), AgentEvent(answer=str() as said):
            return said == message
        case _:
            return False


def altered(one: Demonstration, place: int, name: str) -> Demonstration | None:
    """With another value for one argument of a call, that a real agent might have given; None if there is none."""
    event = one.deeds[place]
    value = (event.arguments or {})[name]
    same = twins(one, place)
    for other in _others(one, event.tool, name, value):
        arguments = {**(event.arguments or {}), name: other}
        changed = event.model_copy(update={"arguments": arguments, "entry_id": None})
        events = [changed if n in same else e for n, e in enumerate(one.episode.events)]
        found = acted(one.stage, one.episode, events)
        if any(event.arguments == arguments for event in found.deeds.values()):
            return found
    return None


def needless(one: Demonstration, place: int) -> list[str]:
    """Optional arguments of a look-up that gives the same answer without them."""
    event = one.deeds[place]
    if one.writes(place) or event.tool not in one.stage.blueprint.programs:
        return []
    required = _tool(one, event.tool).function.parameters.get("required", ())
    given = dict(event.arguments or {})
    found: list[str] = []
    for name in [name for name in given if name not in required and given[name] is not None]:
        fewer = {key: value for key, value in given.items() if key not in (*found, name)}
        events = list(one.episode.events)
        events[place] = event.model_copy(update={"arguments": fewer})
        again = acted(one.stage, one.episode, events).deeds.get(place)
        if again is not None and again.response == event.response:
            found.append(name)
    return found


def _tool(one: Demonstration, name: str) -> Tool:
    return next(tool for tool in one.stage.task.brief.tools if tool.name == name)


def _others(one: Demonstration, tool: str, name: str, value: Any) -> Iterator[Any]:
    """Other values of the same kind: choices of the schema, the same columns of other rows, neighbours."""
    schema = described(_tool(one, tool)).get(name, {})
    tried = 0
    for other in _candidates(one, schema, value):
        if type(other) is type(value) and other != value and storable(other):
            yield other
            tried += 1
        if tried >= MOST_TRIED:
            return


def _candidates(one: Demonstration, schema: dict[str, Any], value: Any) -> Iterator[Any]:
    yield from schema.get("enum", ())
    if isinstance(value, bool):
        yield not value
        return
    if isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2)
        return
    blueprint = one.stage.blueprint
    for table in blueprint.tables:
        rows = blueprint.initial[table.name]
        for column in range(len(table.columns)):
            if any(row[column] == value for row in rows):
                yield from (row[column] for row in rows)
    if schema.get("format") == "date" or _is_date(value):
        yield from ("2031-12-29", "2032-01-30")
    if isinstance(value, str):
        yield f"{value} too"


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 10 and value[4:5] == value[7:8] == "-"


def postponed(one: Demonstration, places: Sequence[int]) -> Demonstration:
    """With these events, and those that do the same, only after everything else."""
    late = {twin for place in places for twin in twins(one, place)}
    events = [event for n, event in enumerate(one.episode.events) if n not in late]
    return acted(one.stage, one.episode, [*events, *(one.episode.events[n] for n in sorted(late))])


def with_calls(one: Demonstration, calls: Sequence[tuple[str, dict[str, Any]]]) -> Demonstration:
    """With further calls at the end."""
    return acted(one.stage, one.episode, [*one.episode.events, *_made(calls)])


def acted_alone(one: Demonstration, calls: Sequence[tuple[str, dict[str, Any]]]) -> Demonstration:
    """With these calls and nothing else."""
    return acted(one.stage, one.episode, _made(calls))


def _made(calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Event]:
    return [
        ToolEvent(call_id=f"made_{n}", tool=tool, arguments=arguments, ok=True, response="null")
        for n, (tool, arguments) in enumerate(calls)
    ]
