"""The check language, executed: pure functions of an episode's record.

Each operator gives a `Finding`: whether it holds, the events that prove it, and when it first and last came true, which
is what `before` compares. What the words mean is fixed in docs/reference/checks.md; nothing here asks a model.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import orjson

from synthagent.errors import EpisodeFailure, JudgeFailed, TaskFault
from synthagent.schema.checks import (
    All,
    Answered,
    AnswerSpec,
    AnyOf,
    Asked,
    Before,
    Called,
    CallPattern,
    Changed,
    Check,
    Confirmed,
    ConfirmedSpec,
    Declined,
    DeclinedSpec,
    Not,
    NotCalled,
    Said,
    SaidSpec,
    State,
    Unchanged,
    UnchangedSpec,
)
from synthagent.schema.episodes import AgentEvent, Episode, ToolEvent, UserEvent
from synthagent.scoring.answers import at_once, final_answer
from synthagent.simulation.episode import Stage
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from synthagent.simulation.states import RowChange
from synthagent.simulation.values import mentions, mentions_money
from synthagent.simulation.world import Final

Named = Callable[[str, Any], bool]
"""Whether a text names a value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    holds: bool
    events: tuple[int, ...] = ()
    """Indices of the events that prove it."""
    first: int = -1
    """When it first came true: an event's index, or the number of events for what only the final state tells."""
    last: int = -1
    """When it last came true."""


class Evidence:
    """Everything a check may look at: the episode's record, the task's brief, the initial and the final state.

    `equal`: which answers the final one comes to, as far as it was compared.
    """

    def __init__(
        self, stage: Stage, episode: Episode, final: Final, equal: Mapping[AnswerSpec, bool] | None = None
    ):  # fmt: skip
        self.stage, self.episode, self._final, self._equal = stage, episode, final, equal or {}
        self.end = len(episode.events)
        self._results: dict[int, Any] = {}

    @cached_property
    def calls(self) -> list[tuple[int, ToolEvent]]:
        return [(index, event) for index, event in enumerate(self.episode.events) if isinstance(event, ToolEvent)]

    @cached_property
    def replies(self) -> list[tuple[int, UserEvent]]:
        return [(index, event) for index, event in enumerate(self.episode.events) if isinstance(event, UserEvent)]

    @cached_property
    def messages(self) -> list[tuple[int, str]]:
        """Everything the agent said to the user, in order, its last word included."""
        found = [(index, event.message) for index, event in self.replies]
        for index, event in enumerate(self.episode.events):
            if isinstance(event, AgentEvent) and event.answer is not None:
                found.append((index, event.answer))
        return sorted(found)

    @cached_property
    def changes(self) -> list[RowChange]:
        return self._final.changes(self.stage.blueprint)

    def result(self, index: int) -> Any:
        """The parsed result of the tool event at this index."""
        if index not in self._results:
            event = self.episode.events[index]
            assert isinstance(event, ToolEvent)
            plain = event.tool in self.stage.task.world.services
            self._results[index] = event.response if plain else orjson.loads(event.response)
        return self._results[index]

    def answered(self, spec: AnswerSpec) -> int | None:
        """The event with the final answer if it is right; None if not, or if there is none.

        Raises `EpisodeFailure` if nobody compared it (infrastructure), `JudgeFailed` if only a judge could have.
        """
        found = final_answer(self.episode)
        if found is None:
            return None
        index, text = found
        equal = at_once(spec, text)
        if equal is None:
            if spec not in self._equal and spec.kind == "text":
                raise JudgeFailed("whether the answer is right takes a judge, and it is a part of a check, or there is "
                                  "no judge", reason="no_judge")  # fmt: skip
            if spec not in self._equal:
                raise EpisodeFailure("nobody compared the answer as mathematics", reason="not_compared")
            equal = self._equal[spec]
        return index if equal else None

    def told_before(self, value: Any, index: int, named: Named = mentions) -> bool:
        """The brief or the user named the value before this event."""
        brief = self.stage.task.brief
        if named(brief.instruction, value) or any(named(rule, value) for rule in brief.rules):
            return True
        return any(named(event.text, value) for i, event in self.replies if i < index)

    def query(self, statements: Iterable[tuple[str, Mapping[str, Any]]]) -> list[list[tuple[Any, ...]]]:
        """Runs read-only SQL over the final state, the initial state attached as `base`. Raises `TaskFault`."""
        asked = list(statements)
        try:
            return self.stage.blueprint.query(self._final, asked)
        except (Denied, BudgetExceeded, sqlite3.Error, sqlite3.Warning) as error:
            raise TaskFault(f"rubric: {error} in {[sql for sql, _ in asked]}", reason="rubric") from error


def decide(check: Check, evidence: Evidence) -> Finding:
    """Evaluates a check. Raises `TaskFault` when its SQL is not usable."""
    match check:
        case State(state=sql):
            return _state(sql, evidence)
        case Unchanged(unchanged=spec):
            return _at_end(_unchanged(spec, evidence), evidence)
        case Called(called=pattern):
            return _events(_matching(pattern, evidence))
        case NotCalled(not_called=pattern):
            return _at_end(not any(True for _ in _matching(pattern, evidence)), evidence)
        case Asked(asked=topic):
            return _events(index for index, event in evidence.replies if topic in event.asked)
        case Said(said=spec):
            return _events(_said(spec if isinstance(spec, SaidSpec) else SaidSpec(value=spec), evidence))
        case Declined(declined=spec):
            return _events(_declined(spec, evidence))
        case Confirmed(confirmed=spec):
            return _confirmed(spec, evidence)
        case Answered(answer=answer):
            index = evidence.answered(answer)
            return _events(() if index is None else (index,))
        case Before(before=(first, then)):
            return _before(decide(first, evidence), decide(then, evidence))
        case All(all=checks):
            return _all([decide(one, evidence) for one in checks])
        case AnyOf(any=checks):
            return _any([decide(one, evidence) for one in checks])
        case Not(negated=one):
            return _at_end(not decide(one, evidence).holds, evidence)
        case _:
            assert_never(check)


def _events(indices: Iterable[int]) -> Finding:
    found = tuple(indices)
    return Finding(True, found, found[0], found[-1]) if found else Finding(False)


def _at_end(holds: bool, evidence: Evidence) -> Finding:
    return Finding(True, (), evidence.end, evidence.end) if holds else Finding(False)


def _before(first: Finding, then: Finding) -> Finding:
    if first.holds and then.holds and first.first < then.last:
        events = (*(e for e in first.events if e < then.last), *(e for e in then.events if e > first.first))
        return Finding(True, tuple(sorted(set(events))), then.last, then.last)
    return Finding(False)


def _all(parts: list[Finding]) -> Finding:
    if not all(part.holds for part in parts):
        return Finding(False)
    return Finding(True, _union(parts), max(part.first for part in parts), max(part.last for part in parts))


def _any(parts: list[Finding]) -> Finding:
    held = [part for part in parts if part.holds]
    if not held:
        return Finding(False)
    return Finding(True, _union(held), min(part.first for part in held), max(part.last for part in held))


def _union(parts: Iterable[Finding]) -> tuple[int, ...]:
    return tuple(sorted({event for part in parts for event in part.events}))


def _state(sql: str, evidence: Evidence) -> Finding:
    rows = evidence.query([(sql, {})])[0]
    if not rows or not rows[0][0]:
        return Finding(False)
    writes = tuple(index for index, event in evidence.calls if event.changed)
    return Finding(True, writes, evidence.end, evidence.end)


def _unchanged(spec: UnchangedSpec, evidence: Evidence) -> bool:
    return all(
        any(_exempts(exempt, change) for exempt in spec.exempt)
        for change in evidence.changes
        if not spec.tables or change.table in spec.tables
    )


def _exempts(exempt: Changed, change: RowChange) -> bool:
    if exempt.table != change.table:
        return False
    if not exempt.key:
        return change.before is None
    if change.before is None or any(change.before.get(name) != value for name, value in exempt.key.items()):
        return False
    return not exempt.columns or set(change.columns) <= set(exempt.columns)


def _matching(pattern: CallPattern, evidence: Evidence) -> Iterator[int]:
    candidates = [
        (index, event)
        for index, event in evidence.calls
        if event.tool == pattern.tool
        and (event.ok or pattern.attempted)
        and event.arguments is not None
        and all(_equal(event.arguments.get(name), value) for name, value in pattern.args.items())
        and all(
            mentions(str(event.arguments.get(name, "")), value)
            for name, values in pattern.mentions.items()
            for value in values
        )
    ]
    if pattern.where is None or not candidates:
        yield from (index for index, _ in candidates)
        return
    bound = [(pattern.where, Bound(event.arguments or {})) for _, event in candidates]
    for (index, _), rows in zip(candidates, evidence.query(bound), strict=True):
        if rows:
            yield index


class Bound(dict[str, Any]):
    """Arguments for a `where`: absent is NULL, arrays and objects cannot be compared and are NULL too."""

    def __init__(self, arguments: Mapping[str, Any]):
        super().__init__({k: v for k, v in arguments.items() if not isinstance(v, list | dict)})

    def __missing__(self, name: str) -> None:
        return None


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, str) and isinstance(two, str):
        return one.strip().casefold() == two.strip().casefold()
    return bool(one == two)


def _said(spec: SaidSpec, evidence: Evidence) -> Iterator[int]:
    for index, message in evidence.messages:
        for value, money in _candidates(spec, evidence, index):
            named: Named = mentions_money if money else mentions
            if named(message, value) and not evidence.told_before(value, index, named):
                yield index
                break


def _candidates(spec: SaidSpec, evidence: Evidence, index: int) -> Iterator[tuple[Any, bool]]:
    """The values that count as said in a message at this index: those a tool had given by then."""
    earlier = [(i, event) for i, event in evidence.calls if i < index and event.ok]
    if spec.tool is None:
        for i, _ in reversed(earlier):
            for name, leaf in _leaves(evidence.result(i)):
                money = name.endswith("_cents") and isinstance(leaf, int)
                if _equal(leaf, spec.value) or (isinstance(leaf, str) and mentions(leaf, spec.value)):
                    yield leaf if money else spec.value, money
                    return
        return
    for i, event in reversed(earlier):
        if event.tool == spec.tool:
            value = _dig(evidence.result(i), spec.path)
            if isinstance(value, str | int | float) and (spec.value is None or _equal(value, spec.value)):
                yield value, spec.path.endswith("_cents") and isinstance(value, int)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def _dig(value: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return None
    return value


def _declined(spec: DeclinedSpec, evidence: Evidence) -> Iterator[int]:
    done_later = [i for i, event in evidence.calls if event.ok and event.tool == spec.tool]
    for index, text in sorted([*_refusals(evidence), *_transfers(evidence)]):
        named = not spec.mentions or any(mentions(text, value) for value in spec.mentions)
        if named and not any(i > index for i in done_later):
            yield index


def _refusals(evidence: Evidence) -> Iterator[tuple[int, str]]:
    for index, message in evidence.messages:
        if evidence.stage.listener.heard(message).refuses:
            yield index, message


def _transfers(evidence: Evidence) -> Iterator[tuple[int, str]]:
    for index, event in evidence.calls:
        if event.ok and event.tool in evidence.stage.blueprint.ends:
            yield index, " ".join(str(value) for value in (event.arguments or {}).values())


def _confirmed(spec: ConfirmedSpec, evidence: Evidence) -> Finding:
    calls = [(index, event) for index, event in evidence.calls if event.ok and event.tool == spec.tool]
    proofs = []
    for index, event in calls:
        agreed = _agreement(spec, event, index, evidence)
        if agreed is None:
            return Finding(False)
        proofs += [agreed, index]
    return _events(sorted(set(proofs)))


def _agreement(spec: ConfirmedSpec, event: ToolEvent, index: int, evidence: Evidence) -> int | None:
    """The latest reply that agreed to this very call, with nothing written since that the question did not name."""
    arguments = event.arguments or {}
    names = spec.args or (() if spec.values else _spoken(arguments))
    wanted = [*(arguments[name] for name in names if arguments.get(name) is not None), *spec.values]
    for i, reply in reversed(evidence.replies):
        if i > index or not reply.agreed or not all(_names(reply.message, value) for value in wanted):
            continue
        between = [e for j, e in evidence.calls if i < j < index and e.changed]
        if all(all(_names(reply.message, (e.arguments or {})[n]) for n in _spoken(e.arguments or {})) for e in between):
            return i
    return None


def _names(message: str, value: Any) -> bool:
    """Truths, lists and nothing at all have no spelling to look for."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return True
    return mentions(message, value)


def _spoken(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments that a person would be told: all but ids."""
    return tuple(name for name in arguments if name != "id" and not name.endswith("_id"))
