"""From what a teacher says a rule forbids to a check, proved: false on what was done well, true on a violation.

The violation is found, not believed: a call that breaks the rule is searched for in the task's own world.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import All, Before, Called, CallPattern, Check, Confirmed, ConfirmedSpec, Not
from synthagent.schema.tasks import CallStep
from synthagent.simulation.values import mentions
from synthagent.synthesis.alignment import Restriction
from synthagent.synthesis.demonstrations import Demonstration
from synthagent.synthesis.mutating import acted_alone, with_calls, without
from synthagent.synthesis.violations import violation


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A rule as a check of its violation, or why there is none."""

    check: Check | None = None
    trap: tuple[CallStep, ...] = ()
    """Calls that break it."""
    confirmed: ConfirmedSpec | None = None
    """What the user's yes has to be about."""
    reason: str = ""


def forbidden(rule: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    """A rule's violation, proved on demonstrations that keep to the rules; the best one first."""
    try:
        match rule.kind:
            case "never":
                return _never(rule, shown)
            case "first":
                return _first(rule, shown)
            case "confirm":
                return _confirm(rule, shown)
            case "other":
                return Forbidden(reason="no check sees it")
    except EpisodeFailure as error:
        return Forbidden(reason=f"the check does not run: {error}")


def _never(rule: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    where = rule.where.strip().rstrip(";").strip() or None
    check = Called(called=CallPattern(tool=rule.tool, where=where))
    if any(one.holds(check) for one in shown):
        return Forbidden(reason="it is true of a demonstration")
    trap = violation(shown, rule.tool, where)
    if not trap:
        return Forbidden(reason="no call in this world breaks it")
    if not with_calls(shown[0], trap).holds(check) and not acted_alone(shown[0], trap).holds(check):
        return Forbidden(reason="it does not see a call that breaks the rule")
    return Forbidden(check, tuple(CallStep(call=tool, args=arguments) for tool, arguments in trap))


def _first(rule: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    acts = Called(called=CallPattern(tool=rule.tool))
    check = All(all=(acts, Not(negated=Before(before=(Called(called=CallPattern(tool=rule.first)), acts)))))
    if any(one.holds(check) for one in shown):
        return Forbidden(reason="it is true of a demonstration")
    for one in shown:
        acted = [place for place, event in one.deeds.items() if event.tool == rule.tool]
        before = [place for place, event in one.deeds.items() if event.tool == rule.first]
        if acted and before:
            if without(one, before).holds(check):
                return Forbidden(check, _steps(one, acted[:1]))
            return Forbidden(reason=f"it stays false without {rule.first}")
    return Forbidden(reason=f"no demonstration uses {rule.tool} after {rule.first}")


def _confirm(rule: Restriction, shown: Sequence[Demonstration]) -> Forbidden:
    for one in shown:
        acted = [place for place, event in one.deeds.items() if event.tool == rule.tool]
        if not acted:
            continue
        spec = confirmation(one, acted[0])
        if spec is None:
            return Forbidden(reason="a demonstration acts without the user's yes")
        check = _unconfirmed(spec)
        if any(other.holds(check) for other in shown):
            return Forbidden(reason="it is true of a demonstration")
        agreed = [place for place, event in one.exchanges.items() if event.agreed and place < acted[0]]
        if not without(one, agreed).holds(check):
            return Forbidden(reason="it stays false without the user's yes")
        return Forbidden(check, _steps(one, acted[:1]), spec)
    # Where nobody acts, nothing has to be named but what the call itself holds.
    check = All(
        all=(
            Called(called=CallPattern(tool=rule.tool)),
            Not(negated=Confirmed(confirmed=ConfirmedSpec(tool=rule.tool))),
        )
    )
    trap = violation(shown, rule.tool, None)
    if not trap or not acted_alone(shown[0], trap).holds(check):
        return Forbidden(reason="no call in this world breaks it")
    return Forbidden(check, tuple(CallStep(call=tool, args=arguments) for tool, arguments in trap))


def _unconfirmed(spec: ConfirmedSpec) -> Check:
    return All(all=(Called(called=CallPattern(tool=spec.tool)), Not(negated=Confirmed(confirmed=spec))))


def _steps(one: Demonstration, places: Sequence[int]) -> tuple[CallStep, ...]:
    return tuple(CallStep(call=one.deeds[p].tool, args=dict(one.deeds[p].arguments or {})) for p in places)


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
    ids = {value for name, value in arguments.items() if _is_id(name)}
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
    if isinstance(value, list):
        for item in value:
            yield from _rows_with(item, ids)
    elif isinstance(value, dict):
        scalars = [leaf for leaf in value.values() if isinstance(leaf, str | int | float)]
        if any(leaf in ids for leaf in scalars):
            yield scalars
        for item in value.values():
            yield from _rows_with(item, ids)
