"""The procedural teacher reads demonstrations of its own tasks: it knows what its sub-goals and rules mean.

No model: sub-goals are recognised by the phrases of the domain file, and their calls by a goal's plan.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.scoring.transcript import transcript
from synthagent.simulation.values import mentions, mentions_money
from synthagent.synthesis.alignment import Alignment, Reached, Restriction, Restrictions
from synthagent.synthesis.demonstrations import Demonstration, Source, leaves
from synthagent.synthesis.procedural.domain import Domain, Goal
from synthagent.synthesis.procedural.domain import Restriction as DomainRestriction
from synthagent.synthesis.procedural.tracing import Traced, trace

ASKED, DECLINED, CANNOT = "Learn from the user: ", "Declined, after finding out why: ", "Said that it cannot be done"


class ProceduralAligner:
    """Reads demonstrations of tasks that were composed from these domains."""

    name = "procedural"

    def __init__(self, domains: Mapping[str, Domain]):
        self._domains = domains

    async def align(self, source: Source, one: Demonstration) -> Alignment:
        """See `Aligner`. Raises `InputError` for a task of no domain that it knows."""
        domain, goals = self._of(one.stage.task)
        traced = trace(domain, goals, one)
        numbers = {place: number for number, place in enumerate(transcript(one.episode).places, start=1)}
        reached = []
        waiting = list(_phrases(traced))
        for number, text in enumerate(source.workflow, start=1):
            found = self._reached(text, one, traced, waiting)
            if found is not None:
                places, told, declined = found
                events = tuple(numbers[place] for place in sorted(set(places)))
                reached.append(Reached(goal=number, text=text, events=events, told=told, declined=declined))
        return Alignment(reached=tuple(reached))

    async def restrict(self, source: Source, one: Demonstration) -> Restrictions:
        """See `Aligner`."""
        domain, _ = self._of(one.stage.task)
        return Restrictions(
            restrictions=tuple(_restriction(domain, number, text) for number, text in enumerate(source.rules, start=1))
        )

    def _of(self, task: Task) -> tuple[Domain, list[Goal]]:
        origin = task.provenance
        domain = self._domains.get(origin.domain)
        if domain is None or any(name not in domain.goals for name in origin.templates):
            raise InputError(
                f"task {task.id}: the procedural teacher does not know the domain '{origin.domain}'",
                way_out="give a model as --teacher",
            )
        return domain, [domain.goals[name] for name in origin.templates]

    def _reached(
        self, text: str, one: Demonstration, traced: Sequence[Traced], waiting: "list[_Phrase]"
    ) -> tuple[list[int], str, str] | None:
        if text.startswith(ASKED):
            return _asking(text.removeprefix(ASKED), one)
        if text.startswith(DECLINED):
            return _declining(text.removeprefix(DECLINED), one, traced)
        if text.startswith(CANNOT):
            return _giving_up(one, traced)
        for phrase in waiting:
            if phrase.pattern.fullmatch(text):
                waiting.remove(phrase)
                return _doing(phrase, one)
        return None


@dataclass(frozen=True)
class _Phrase:
    """A sub-goal of a goal, as its text can be recognised."""

    pattern: re.Pattern[str]
    kind: str
    place: int
    """Of the call that it is about."""
    path: str


def _phrases(traced: Sequence[Traced]) -> Iterator[_Phrase]:
    for one in traced:
        for subgoal in one.goal.subgoals:
            kind = next(key for key in ("looked", "outcome", "said") if key in subgoal)
            alias, _, path = subgoal[kind].partition(".")
            if alias in one.calls:
                parts = re.split(r"\{[^{}]*\}", subgoal["text"])
                yield _Phrase(re.compile(".+".join(map(re.escape, parts)), re.DOTALL), kind, one.calls[alias], path)


def _asking(topic: str, one: Demonstration) -> tuple[list[int], str, str] | None:
    ids = [fact.id for fact in one.stage.task.hidden.facts if fact.topic == topic]
    places = [place for place, event in one.exchanges.items() if set(ids) & set(event.asked)]
    return (places[:1], "", "") if places else None


def _doing(phrase: _Phrase, one: Demonstration) -> tuple[list[int], str, str] | None:
    if phrase.kind != "said":
        return [phrase.place], "", ""
    told = next((leaf for path, leaf in leaves(one.result(phrase.place)) if path == phrase.path), None)
    messages = [place for place in one.messages if place > phrase.place]
    # The message that tells it, whichever check sees it: the last one that could.
    return ([phrase.place, _telling(one, messages, phrase.path, told)], str(told), "") if messages else None


def _telling(one: Demonstration, places: Sequence[int], path: str, told: Any) -> int:
    named = mentions_money if path.endswith("_cents") and isinstance(told, int) else mentions
    return next((place for place in places if named(one.messages[place], told)), places[-1])


def _refusal(one: Demonstration) -> int | None:
    """The place of the first message that refuses, or of a transfer."""
    ends = one.stage.blueprint.ends
    places = [place for place, text in one.messages.items() if one.stage.listener.heard(text).refuses]
    places += [place for place, event in one.deeds.items() if event.tool in ends]
    return min(places, default=None)


def _declining(rule: str, one: Demonstration, traced: Sequence[Traced]) -> tuple[list[int], str, str] | None:
    refused = _refusal(one)
    for goal in traced:
        for restriction in goal.goal.restrictions.values():
            if restriction.rule == rule and refused is not None:
                decided = _decided(restriction, goal, one)
                return [*decided, refused], "", restriction.tool
    return None


def _decided(restriction: DomainRestriction, traced: Traced, one: Demonstration) -> list[int]:
    places = []
    for name in restriction.decided_by:
        if name in traced.calls:
            places.append(traced.calls[name])
        else:
            places += [place for place, event in one.exchanges.items() if name in event.asked][:1]
    return places


def _giving_up(one: Demonstration, traced: Sequence[Traced]) -> tuple[list[int], str, str] | None:
    """A goal whose tool is missing: everything that was looked into for it, and the refusal."""
    refused = _refusal(one)
    if refused is None:
        return None
    last = traced[-1]
    places = list(last.calls.values()) or [place for place in one.deeds if place != refused]
    asked = [place for place, event in one.exchanges.items() if set(event.asked) & set(last.goal.facts)]
    return [*places, *asked, refused], "", "none"


def _restriction(domain: Domain, number: int, text: str) -> Restriction:
    for goal in domain.goals.values():
        for restriction in goal.restrictions.values():
            if restriction.rule == text:
                return Restriction(rule=number, kind="never", tool=restriction.tool, where=restriction.violated)
        if goal.confirm and goal.confirm.rule == text:
            return Restriction(rule=number, kind="confirm", tool=goal.confirm.tool)
    return Restriction(rule=number, kind="other")
