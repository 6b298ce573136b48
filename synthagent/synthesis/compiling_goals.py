"""From the events that reach a sub-goal to the check that sees it, proved on mutated demonstrations.

What a write left behind is checked on the state, what was looked up on the calls, what was said on the messages: the
way there is left open as far as code can.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import (
    All,
    AnyOf,
    Asked,
    Before,
    Called,
    CallPattern,
    Check,
    Declined,
    DeclinedSpec,
    Said,
    SaidSpec,
)
from synthagent.simulation.values import mentions_money
from synthagent.synthesis.demonstrations import Demonstration, leaves, unusable
from synthagent.synthesis.mutating import altered, needless, postponed, without


@dataclass(frozen=True, slots=True)
class Aligned:
    """A sub-goal as one demonstration reaches it."""

    one: Demonstration
    places: tuple[int, ...]
    told: str = ""
    declined: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A check, or why there is none."""

    check: Check | None
    reason: str = ""


def compiled(ways: Sequence[Aligned]) -> Compiled:
    """The check of a sub-goal from all demonstrations that reach it, the best one first, proved on every one of them.

    Where a later demonstration got there in a way that the check does not see, its own way counts too.
    """
    try:
        return _compiled(ways)
    except EpisodeFailure as error:
        return Compiled(None, unusable(error))


def _compiled(ways: Sequence[Aligned]) -> Compiled:
    checks: list[Check] = []
    for way in ways:
        found = check_of(way)
        if isinstance(found, str):
            if not checks:
                return Compiled(None, found)
            continue
        if not any(way.one.holds(check) for check in checks):
            checks.append(found)
    check = checks[0] if len(checks) == 1 else AnyOf(any=tuple(checks))
    for way in ways:
        if reason := unproved(check, way):
            return Compiled(None, reason)
    return Compiled(check)


def check_of(way: Aligned) -> Check | str:
    """The check that one way comes to, or why it comes to none."""
    one = way.one
    calls = [place for place in way.places if place in one.deeds]
    said = [place for place in way.places if place in one.messages]
    ends = one.stage.blueprint.ends
    handed_over = [place for place in calls if one.deeds[place].tool in ends]
    if way.declined or handed_over:
        return _declining(way, [place for place in calls if place not in handed_over], said)
    if way.told:
        return _telling(way, calls, said)
    writes = [place for place in calls if one.writes(place)]
    if writes:
        return _writing(one, writes)
    if calls:
        looks = [_called(one, place) for place in calls]
        return looks[0] if len(looks) == 1 else All(all=tuple(looks))
    return "its events leave no trace that code can see"


def _called(one: Demonstration, place: int) -> Check:
    """The call; where its answer is the same without some optional arguments, the call without them will do too."""
    check = one.outcomes.looked_up(place)
    assert isinstance(check, Called)
    spared = [name for name in needless(one, place) if name in check.called.args]
    if not spared:
        return check
    fewer = {**check.called.args, **dict.fromkeys(spared)}
    either = AnyOf(any=(check, Called(called=check.called.model_copy(update={"args": fewer}))))
    return check if without(one, [place]).holds(either) else either  # where it was called both ways, this one counts


def _writing(one: Demonstration, writes: Sequence[int]) -> Check:
    """The state that the writes leave; of a simulated tool, whose state no table holds, the call itself."""
    tables = [place for place in writes if one.changes.get(place)]
    simulated = [_simulated(one, place) for place in writes if place not in tables]
    if not simulated:
        return one.outcomes.end_state(tables)
    parts = [*simulated, *([one.outcomes.end_state(tables)] if tables else [])]
    return parts[0] if len(parts) == 1 else All(all=tuple(parts))


def _simulated(one: Demonstration, place: int) -> Check:
    event = one.deeds[place]
    return Called(called=CallPattern(tool=event.tool, args=dict(event.arguments or {})))


def _telling(way: Aligned, calls: Sequence[int], said: Sequence[int]) -> Check | str:
    """A value from a call's result, in a message after it."""
    one = way.one
    if not said:
        return "nobody is told anything by its events"
    sources = [*reversed(calls), *(place for place in reversed(one.deeds) if place not in calls)]
    for place in sources:
        if place > max(said):
            continue
        result = one.result(place)
        for path, leaf in leaves(result):
            if _is_told(way.told, path, leaf):
                spec = _said(one.deeds[place].tool, path, leaf)
                return Before(before=(_called(one, place), Said(said=spec)))
    return f"no call before the message gave '{way.told}'"


def _said(tool: str, path: str, leaf: Any) -> SaidSpec:
    """By its place in the result; within a list that place means nothing, and the value stands for itself."""
    if any(part.isdigit() for part in path.split(".")):
        return SaidSpec(value=leaf)
    return SaidSpec(tool=tool, path=path)


def _is_told(told: str, path: str, leaf: Any) -> bool:
    if leaf is None or isinstance(leaf, bool):
        return False
    if str(leaf).strip().casefold() == told.strip().casefold():
        return True
    return path.endswith("_cents") and isinstance(leaf, int) and mentions_money(told, leaf)


def _declining(way: Aligned, calls: Sequence[int], said: Sequence[int]) -> Check | str:
    """A refusal or a transfer after what decided it, with nothing written but what the demonstration wrote."""
    one = way.one
    asked = [id_ for place in said if place in one.exchanges for id_ in one.exchanges[place].asked]
    first: list[Check] = [_called(one, place) for place in calls]
    first += [Asked(asked=id_) for id_ in asked]
    if not first:
        return "nothing was looked up or asked before it was declined"
    known = {tool.name for tool in one.stage.task.brief.tools}
    declined = Declined(declined=DeclinedSpec(tool=way.declined if way.declined in known else None))
    ground = first[0] if len(first) == 1 else All(all=tuple(first))
    return All(all=(Before(before=(ground, declined)), one.outcomes.untouched()))


def unproved(check: Check, way: Aligned) -> str:
    """Why a check does not stand for a sub-goal as this demonstration reaches it; empty if it does."""
    if not way.one.holds(check):
        return "it is not true of a demonstration that reaches the sub-goal"
    for what, mutant in _mutants(check, way):
        if mutant.holds(check):
            return f"it stays true with {what}"
    return ""


def _mutants(check: Check, way: Aligned) -> Iterator[tuple[str, Demonstration]]:
    """What must make it false, each in words."""
    one = way.one
    told = way.places if way.told else ()
    for place in way.places:
        yield f"event {place} left out", without(one, [place])
        event = one.deeds.get(place)
        # Of something told, the value counts, not how the call was made that gave it.
        if event is None or event.tool in one.stage.blueprint.ends or place in told:
            continue
        prose = one.outcomes.prose(place)
        for name in event.arguments or {}:
            if name not in prose and (mutant := altered(one, place, name)):
                yield f"another {name} in event {place}", mutant
    if _ordered(check) and len(way.places) > 1:
        yield f"event {max(way.places)} before the others", postponed(one, sorted(way.places)[:-1])


def _ordered(check: Check) -> bool:
    match check:
        case Before():
            return True
        case All(all=parts) | AnyOf(any=parts):
            return any(_ordered(part) for part in parts)
        case _:
            return False
