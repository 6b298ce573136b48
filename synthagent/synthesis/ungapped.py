"""A task without its information gap: what only the user knew stands in the instruction, and nothing has to be asked.

The ablation of Lyu et al., *Mock Worlds, Real Skills*, in which most of the gain vanishes. World, tools and rules stay
as they are, and so do the ids that the world generates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.checks import All, AnyOf, Asked, Before, Called, Check, Declined, Not
from synthagent.schema.tasks import (
    AskStep,
    Brief,
    CallStep,
    Criterion,
    Fact,
    Provenance,
    ReferenceStep,
    Rubric,
    SayStep,
    Task,
    identified,
)
from synthagent.simulation.values import mentions
from synthagent.synthesis.executing import renumbered

NO_GAP = "no_gap"
"""The feature in such a task's provenance: screening wants its facts told, where it else takes them for leaks."""


def without_gap(task: Task) -> Task:
    """The task with every hidden fact in its instruction; one without facts, or done already, as it is.

    Fact twins become two tasks of one family that differ in what they say. Where a question had to come before a
    refusal, a look-up has to now, or the refusal has to name what it is for: see `Known`.

    Raises `InputError` when the sub-goals want nothing but questions.
    """
    facts = task.hidden.facts
    values = {fact.id: fact.value for fact in facts}
    learning = {f"Learn from the user: {fact.topic}" for fact in facts}  # as the procedural teacher words it
    if not facts or NO_GAP in task.provenance.features:
        return task
    # `hidden` stays whole. The user has to know the facts, to confirm an action or to correct a wrong value. Follow-up
    # requests come unasked, each when the one before is closed: there is no gap that a question would bridge, and told
    # at once they would only change when the user takes the conversation for finished.
    return identified(
        task.model_copy(
            update={
                "brief": _brief(task.brief, facts),
                "workflow": tuple(line for line in task.workflow if line not in learning),
                "rubric": _rubric(task, values),
                "reference": _reference(task.reference, values),
                "provenance": _provenance(task),
            }
        )
    )


# ---- what the agent sees


def _brief(brief: Brief, facts: Sequence[Fact]) -> Brief:
    told = " ".join(map(_told, facts))
    return brief.model_copy(update={"instruction": f"{brief.instruction} Here is what you need to know. {told}"})


def _told(fact: Fact) -> str:
    """An answer is no sentence without its question: the topic says what it is about."""
    text = fact.text.strip()
    stop = "" if text.endswith((".", "!", "?")) else "."
    return f"{fact.topic[:1].upper()}{fact.topic[1:]}: {text}{stop}"


def _provenance(task: Task) -> Provenance:
    old = task.provenance
    return old.model_copy(
        update={
            "parents": (*old.parents, task.id),
            "features": (*old.features, NO_GAP),
            # Its brief says what made it one: fact twins without the gap are two tasks of a family.
            "twin": None if old.twin == "fact" else old.twin,
            "passports": {},
        }
    )


# ---- what a good agent does


def _reference(steps: Sequence[ReferenceStep], facts: Mapping[str, Any]) -> tuple[ReferenceStep, ...]:
    kept = [n for n, step in enumerate(steps) if not (isinstance(step, AskStep) and step.ask in facts)]
    moved = renumbered([steps[number] for number in kept], kept)
    return tuple(
        CallStep(call=step.call, args=_literal(step.args, facts)) if isinstance(step, CallStep) else step
        for step in moved
    )


def _literal(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {"$fact"}:
            return facts[value["$fact"]]
        return {key: _literal(item, facts) for key, item in value.items()}
    return [_literal(item, facts) for item in value] if isinstance(value, list | tuple) else value


# ---- how it is scored


def _rubric(task: Task, facts: Mapping[str, Any]) -> Rubric:
    rubric = task.rubric
    said = " ".join(step.say for step in task.reference if isinstance(step, SayStep))
    given = Known(frozenset(facts), named=tuple(value for value in facts.values() if mentions(said, value)))
    subgoals: list[Criterion] = []
    for criterion in rubric.subgoals:
        subgoals += _criterion(criterion, given, wanted=True)
        if isinstance(criterion.check, Called):
            given = replace(given, lookup=criterion.check)
    if not subgoals:
        raise InputError("its sub-goals are nothing but questions", where=f"task {task.id}")
    forbidden = [kept for one in rubric.forbidden for kept in _criterion(one, given, wanted=False)]
    interactions = [kept for one in rubric.interactions for kept in _criterion(one, given, wanted=True)]
    return Rubric(forbidden=tuple(forbidden), subgoals=tuple(subgoals), interactions=tuple(interactions))


def _criterion(criterion: Criterion, given: "Known", *, wanted: bool) -> list[Criterion]:
    """The criterion, or none where nothing is left of it. What only a judge can decide stays as it is."""
    if criterion.check is None:
        return [criterion]
    check = given.left(criterion.check, wanted=wanted)
    return [] if isinstance(check, bool) else [criterion.model_copy(update={"check": check})]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known from the start, and what that leaves of a check."""

    facts: frozenset[str]
    lookup: Called | None = None
    """What else has to come before a refusal that only questions came before."""
    named: tuple[Any, ...] = ()
    """Where there is no look-up either: values of which such a refusal has to name one."""

    def left(self, check: Check, *, wanted: bool = True) -> Check | bool:
        """The check without the questions for facts; True or False when nothing else decides it.

        `wanted`: whether the check states what is wanted, or a violation; `not` turns one into the other. Only where
        asking is wanted does it count as done: a wish becomes easier and a violation harder, never the other way
        round. So a wish is never False and a violation never True.
        """
        match check:
            case Asked(asked=topic):
                return True if wanted and topic in self.facts else check
            case Not(negated=one):
                rest = self.left(one, wanted=not wanted)
                return not rest if isinstance(rest, bool) else Not(negated=rest)
            case Before(before=(first, then)):
                return self._ordered(self.left(first, wanted=wanted), self.left(then, wanted=wanted))
            case All(all=checks):
                parts = [self.left(one, wanted=wanted) for one in checks]
                rests = tuple(part for part in parts if not isinstance(part, bool))
                return False if False in parts else All(all=rests) if rests else True
            case AnyOf(any=checks):
                parts = [self.left(one, wanted=wanted) for one in checks]
                rests = tuple(part for part in parts if not isinstance(part, bool))
                return True if True in parts else AnyOf(any=rests) if rests else False
            case _:
                return check

    def _ordered(self, first: Check | bool, then: Check | bool) -> Check | bool:
        """One before the other, where what is known from the start comes before everything."""
        if first is False or then is False:
            return False
        if isinstance(then, bool):
            return first
        if not isinstance(first, bool):
            return Before(before=(first, then))
        return self._earned(then) if isinstance(then, Declined) else then

    def _earned(self, declined: Declined) -> Check:
        """By its brief alone it would be right to refuse at once; but then refusing everything would pay."""
        if self.lookup is not None:
            return Before(before=(self.lookup, declined))
        spec = declined.declined
        return Declined(declined=spec.model_copy(update={"mentions": spec.mentions or self.named}))
