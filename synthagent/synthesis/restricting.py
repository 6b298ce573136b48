"""From what a teacher says a rule forbids to a check, proved: false on what was done well, true on a violation.

The violation is found, not believed: a call that breaks the rule is searched for in the task's own world.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import All, AnyOf, Before, Called, CallPattern, Check, Confirmed, ConfirmedSpec, Not
from synthagent.schema.tasks import CallStep
from synthagent.simulation.values import mentions
from synthagent.synthesis.alignment import Restriction
from synthagent.synthesis.demonstrations import Demonstration, unusable
from synthagent.synthesis.mutating import acted_alone, with_calls, without
from synthagent.synthesis.violations import violation

SHOWN = "it is true of a demonstration"


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A rule as a check of its violation, or why there is none."""

    check: Check | None = None
    trap: tuple[CallStep, ...] = ()
    """Calls that break it."""
    confirmed: tuple[ConfirmedSpec, ...] = ()
    """What the user's yes has to be about."""
    reason: str = ""


def forbidden(readings: Sequence[Restriction], shown: Sequence[Demonstration]) -> Forbidden:
    """A rule's violation, proved on demonstrations that keep to the rules; the best one first.

    What a teacher reads in several ways restricts several tools: each has to be proved, and any of them breaks it.
    """
    parts = [_proved(reading, shown) for reading in dict.fromkeys(readings)]
    if (open_ := next((part for part in parts if part.check is None), None)) is not None:
        return open_
    checks = tuple(part.check for part in parts if part.check is not None)
    confirmed = tuple(spec for part in parts for spec in part.confirmed)
    return Forbidden(checks[0] if len(checks) == 1 else AnyOf(any=checks), parts[0].trap, confirmed)


def broken(readings: Sequence[Restriction], one: Demonstration) -> bool:
    """Whether a demonstration does what a rule, so read, forbids. What does not run finds nothing."""
    try:
        return any(_breaks(reading, one) for reading in readings)
    except EpisodeFailure:
        return False


def _breaks(reading: Restriction, one: Demonstration) -> bool:
    match reading.kind:
        case "never":
            return one.holds(_used(reading))
        case "first":
            return one.holds(_too_soon(reading))
        case "confirm":
            acted = _calls(one, reading.tool)
            spec = confirmation(one, acted[0]) if acted else None
            return bool(acted) and (spec is None or one.holds(_unconfirmed(spec)))
        case "other":
            return False


def _proved(reading: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    try:
        match reading.kind:
            case "never":
                return _never(reading, shown)
            case "first":
                return _first(reading, shown)
            case "confirm":
                return _confirm(reading, shown)
            case "other":
                return Forbidden(reason="no check sees it")
    except EpisodeFailure as error:
        return Forbidden(reason=unusable(error))


def _used(reading: Restriction) -> Called:
    return Called(called=CallPattern(tool=reading.tool, where=_where(reading)))


def _where(reading: Restriction) -> str | None:
    return reading.where.strip().rstrip(";").strip() or None


def _never(reading: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    check, where = _used(reading), _where(reading)
    if any(one.holds(check) for one in shown):
        return Forbidden(reason=SHOWN)
    trap = violation(shown, reading.tool, where)
    if not trap:
        return Forbidden(reason="no call in this world breaks it")
    if not with_calls(shown[0], trap).holds(check) and not acted_alone(shown[0], trap).holds(check):
        return Forbidden(reason="it does not see a call that breaks the rule")
    # A condition on what the call itself changes is true once it has been made, of any call.
    kept = violation(shown, reading.tool, f"SELECT 1 WHERE NOT EXISTS (\n{where}\n)") if where else []
    if kept and acted_alone(shown[0], kept).holds(check):
        return Forbidden(reason="it is true of a call that keeps to the rule")
    return Forbidden(check, tuple(CallStep(call=tool, args=arguments) for tool, arguments in trap))


def _too_soon(reading: Restriction) -> Check:
    acts = Called(called=CallPattern(tool=reading.tool))
    return All(all=(acts, Not(negated=Before(before=(Called(called=CallPattern(tool=reading.first)), acts)))))


def _first(reading: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    check = _too_soon(reading)
    if any(one.holds(check) for one in shown):
        return Forbidden(reason=SHOWN)
    for one in shown:
        acted, before = _calls(one, reading.tool), _calls(one, reading.first)
        if acted and before:
            if not without(one, before).holds(check):
                return Forbidden(reason=f"it stays false without {reading.first}")
            return _trapped(Forbidden(check), one, acted[0], reading.first)
    return Forbidden(reason=f"no demonstration uses {reading.tool} after {reading.first}")


def _confirm(reading: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    acting = [(one, acted) for one in shown if (acted := _calls(one, reading.tool))]
    if not acting:
        return _unasked(reading, shown)
    specs = [confirmation(one, acted[0]) for one, acted in acting]
    named = [spec for spec in specs if spec is not None]
    if len(named) < len(specs):
        return Forbidden(reason="a demonstration acts without the user's yes")
    spec = _common(named)
    check = _unconfirmed(spec)
    if any(other.holds(check) for other in shown):
        return Forbidden(reason=SHOWN)
    one, acted = acting[0]
    agreed = [place for place, event in one.exchanges.items() if event.agreed and place < acted[0]]
    if not without(one, agreed).holds(check):
        return Forbidden(reason="it stays false without the user's yes")
    return _trapped(Forbidden(check, confirmed=(spec,)), one, acted[0])


def _unasked(reading: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    """Where nobody acts, nothing has to be named but what the call itself holds."""
    check = _unconfirmed(ConfirmedSpec(tool=reading.tool))
    trap = violation(shown, reading.tool, None)
    if not trap or not acted_alone(shown[0], trap).holds(check):
        return Forbidden(reason="no call in this world breaks it")
    return Forbidden(check, tuple(CallStep(call=tool, args=arguments) for tool, arguments in trap))


def _unconfirmed(spec: ConfirmedSpec) -> Check:
    return All(all=(Called(called=CallPattern(tool=spec.tool)), Not(negated=Confirmed(confirmed=spec))))


def _common(specs: Sequence[ConfirmedSpec]) -> ConfirmedSpec:
    """What every one of these questions named."""
    best, *others = specs
    args = tuple(name for name in best.args if all(name in other.args for other in others))
    values = tuple(value for value in best.values if all(value in other.values for other in others))
    return best.model_copy(update={"args": args, "values": values})


def _calls(one: Demonstration, tool: str) -> list[int]:
    return [place for place, event in one.deeds.items() if event.tool == tool]


def _trapped(found: Forbidden, one: Demonstration, place: int, skipped: str = "") -> Forbidden:
    """With a trap: the demonstration's own call, after as many of the writes before it as it needs to go through."""
    writes = [p for p in one.deeds if p < place and one.writes(p) and one.deeds[p].tool != skipped]
    for start in range(len(writes), -1, -1):
        places = [*writes[start:], place]
        calls = [(one.deeds[p].tool, dict(one.deeds[p].arguments or {})) for p in places]
        alone = acted_alone(one, calls)
        if found.check is not None and len(alone.deeds) == len(calls) and alone.holds(found.check):
            trap = tuple(CallStep(call=tool, args=arguments) for tool, arguments in calls)
            return Forbidden(found.check, trap, found.confirmed)
    return Forbidden(reason="no call in this world breaks it")


def confirmation(one: Demonstration, place: int) -> ConfirmedSpec | None:
    """What the yes before a call was about: the arguments that the question named, and names that stand for ids."""
    event = one.deeds[place]
    replies = [reply for n, reply in one.exchanges.items() if n < place and reply.agreed]
    if not replies:
        return None
    question = replies[-1].message
    arguments = event.arguments or {}
    named = tuple(
        name for name, value in arguments.items()
        if not _is_id(name) and isinstance(value, str | int | float) and not isinstance(value, bool)
        and mentions(question, value)
    )  # fmt: skip
    ids = {value for name, value in arguments.items() if _is_id(name) and not isinstance(value, list | dict)}
    values: dict[Any, None] = {}
    for n in one.deeds:
        if n < place:
            for row in _rows_with(one.result(n), ids):
                values |= {v: None for v in row if isinstance(v, str) and v not in ids and mentions(question, v)}
    given = {arguments[name] for name in named}
    return ConfirmedSpec(tool=event.tool, args=named, values=tuple(v for v in values if v not in given))


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _rows_with(value: Any, ids: set[Any]) -> Iterator[list[Any]]:
    """The scalars of every object in a result that holds one of these ids."""
    waiting = [value]
    for item in waiting:  # it grows meanwhile
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            waiting += item.values()
            scalars = [leaf for leaf in item.values() if isinstance(leaf, str | int | float)]
            if any(leaf in ids for leaf in scalars):
                yield scalars
