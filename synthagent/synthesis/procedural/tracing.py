"""Which calls of a demonstration are which steps of its goals' plans: by the tool and by the values it was called with.

A plan's arguments are worked out from what the user knows and from the results of the calls before, so that calls which
are made twice, in another order, or beside the plan do not lead astray.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthagent.simulation.values import mentions
from synthagent.synthesis.demonstrations import Demonstration
from synthagent.synthesis.procedural.domain import Domain, Goal
from synthagent.synthesis.procedural.plan import EXPRESSION

ANY, INLINED = object(), object()
"""A value that nothing tells; one that a request gave away."""


@dataclass
class Traced:
    """The calls of a goal's plan in a demonstration."""

    goal: Goal
    calls: dict[str, int] = field(default_factory=dict)
    """Alias -> place."""


def trace(domain: Domain, goals: Sequence[Goal], one: Demonstration) -> list[Traced]:
    """The goals in their order, each with those of its calls that were made."""
    facts = {fact.id: fact.value for fact in one.stage.task.hidden.facts}
    said = "\n".join([one.stage.task.brief.instruction, *(event.text for event in one.exchanges.values())])
    calls, me = _identified(domain, _Scope(said, facts), one)
    start = max(calls.values(), default=-1) + 1
    found = []
    for goal in goals:
        traced = Traced(goal, _traced(goal.plan, one, _Scope(said, facts, me), start))
        start = max((start, *(place + 1 for place in traced.calls.values())))
        found.append(traced)
    return found


@dataclass
class _Scope:
    """What a plan's arguments are made of."""

    said: str
    """All that the user said."""
    facts: Mapping[str, Any]
    me: Mapping[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    """Alias -> what the call gave."""

    def told(self, expression: Any) -> Any:
        """As `value`, and `ANY` for what a call should have given and did not."""
        try:
            return self.value(expression)
        except LookupError:
            return ANY

    def value(self, expression: Any) -> Any:
        """What an expression comes to; `ANY` if nothing tells. Raises `LookupError` if its call was not made."""
        if not isinstance(expression, str) or not expression.startswith("$"):
            return expression
        match = EXPRESSION.fullmatch(expression)
        if match is None:
            return ANY
        name, where, path = match[1], match[2], match[3] or ""
        if name == "fact":
            return self.facts.get(path, INLINED)
        if name == "me":
            return self.me.get(path, ANY)
        result = self.results[name]
        if where is not None:
            wanted = {column.strip(): self.value(item.strip()) for column, item in _pairs(where)}
            rows = result if isinstance(result, list) else []
            like = [row for row in rows if all(self.alike(value, row.get(column)) for column, value in wanted.items())]
            if len(like) > 1:
                return ANY
            result = like[0]
        return _dug(result, path)

    def alike(self, wanted: Any, given: Any) -> bool:
        """Whether a value can be the wanted one."""
        if wanted is ANY:
            return True
        if wanted is INLINED:
            return given is not None and (not isinstance(given, str) or mentions(self.said, given))
        if isinstance(wanted, str) and isinstance(given, str):
            return wanted.strip().casefold() == given.strip().casefold()
        return bool(wanted == given)


def _pairs(where: str) -> Iterator[tuple[str, str]]:
    for pair in where.split(","):
        column, _, value = pair.partition("=")
        yield column, value


def _dug(value: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        if isinstance(value, list) and part.isdigit():
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value[part]
        else:
            raise LookupError(path)
    return value


def _identified(domain: Domain, known: _Scope, one: Demonstration) -> tuple[Mapping[str, int], Mapping[str, Any]]:
    """(the calls that found out who the user is, what they gave); of several ways the one with most calls."""
    best: dict[str, int] = {}
    gave: dict[str, Any] = {}
    for way in domain.identify.values():
        scope = _Scope(known.said, known.facts)
        calls = _traced(way.plan, one, scope, 0)
        if len(calls) > len(best) and len(calls) == sum("call" in step for step in way.plan):
            best, gave = calls, {name: scope.told(expression) for name, expression in way.gives.items()}
    return best, gave


def _traced(plan: Sequence[Mapping[str, Any]], one: Demonstration, scope: _Scope, start: int) -> dict[str, int]:
    """Alias -> place, for each step that was done; calls before `start` are of steps before."""
    found: dict[str, int] = {}
    for step in plan:
        if "call" not in step:
            continue
        try:
            wanted = {name: scope.value(value) for name, value in step.get("args", {}).items()}
        except LookupError:
            continue  # it needs the result of a call that was not made
        places = [
            place for place, event in one.deeds.items()
            if event.tool == step["call"]
            and all(scope.alike(value, (event.arguments or {}).get(name)) for name, value in wanted.items())
        ]  # fmt: skip
        if not places:
            continue
        place = _meant(
            places, one, start, certain=all(value is not ANY and value is not INLINED for value in wanted.values())
        )
        found[step["as"]] = place
        scope.results[step["as"]] = one.result(place)
        start = max(start, place + 1)
    return found


def _meant(places: Sequence[int], one: Demonstration, start: int, *, certain: bool) -> int:
    """Which of several calls that could be it: what was looked up since the last write is not looked up again."""
    written = max((place for place in one.deeds if place < start and one.writes(place)), default=-1)
    recent = [place for place in places if written < place < start]
    if certain and recent:
        return recent[-1]
    return next((place for place in places if place >= start), places[-1])
