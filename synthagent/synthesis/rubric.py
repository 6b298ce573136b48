"""The rubric: sub-goals and interactions from what the reference did, forbidden behaviours from the rules.

Code first: the teacher says which calls break a rule and shows one that does; that it does, and that the reference does
not, is found out by running both. Source of the three parts: Lyu et al., section 3.3.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent import prompts
from synthagent.errors import EpisodeFailure
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.checks import All, Asked, Before, Called, CallPattern, Check, Said, SaidSpec
from synthagent.schema.record import Record
from synthagent.schema.tasks import AskStep, CallStep, Criterion, ReferenceStep, Rubric, SayStep
from synthagent.scoring.checks import Bound
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.drafts import Name, Rule, ToolDraft, rule_text
from synthagent.synthesis.outcomes import Outcomes
from synthagent.synthesis.solving import Solution
from synthagent.synthesis.tables import TablesDraft
from synthagent.synthesis.world import Argument


class TrapCall(Record):
    """One call of a trap."""

    tool: Name
    arguments: tuple[Argument, ...] = ()
    """Plain values from the records."""


class Violation(Record):
    """How a rule can be broken."""

    rule: int
    """The rule's number, from 1."""
    text: str
    """What was done, in the past tense."""
    where: str = ""
    """SQL that gives a row for a call that breaks the rule; empty: every call of the rule's tool does."""
    trap: tuple[TrapCall, ...]
    """Calls that break it, the last one of the rule's tool."""


class ViolationsDraft(Record):
    """One for each rule."""

    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Drafted:
    """A rubric and the rules that it can see."""

    rubric: Rubric
    rules: tuple[Rule, ...]
    dropped: Mapping[str, str]
    """Rules that no check could be made for -> why."""
    rounds: int = 0


class NoRubric(Exception):
    """Nothing to score by; the text says why."""


async def draft(
    teacher: Structured, drafts: Sequence[ToolDraft], rules: Sequence[Rule], tables: TablesDraft | None,
    solution: Solution, workflow: Sequence[str], *, rounds: int = 2, sample: int = 0,
) -> Drafted:  # fmt: skip
    """The rubric of a solved task. Raises `NotUnderstood`, or `NoRubric` when no rule or no sub-goal can be checked.

    `rounds`: how often violations that do not hold are sent back.
    """
    subgoals = [*_subgoals(solution, workflow)]
    if not subgoals:
        raise NoRubric("the reference does nothing that can be checked")
    if solution.blueprint is None or tables is None or not rules:
        forbidden = tuple(Criterion(id=f"f{n}", text=f"Broke the rule: {rule_text(r)}") for n, r in enumerate(rules, 1))
        return Drafted(_rubric(forbidden, subgoals, solution), tuple(rules), {})
    prompt = prompts.render("synthesis/rubric", tools=drafts, rules=rules, tables=tables, calls=_calls(solution))
    messages = [{"role": "user", "content": prompt}]
    good: dict[int, Violation] = {}
    errors: dict[int, str] = {}
    sent_back = 0
    for left in range(rounds, -1, -1):
        try:
            asked = await teacher.ask(messages, ViolationsDraft, stage="rubric", sample=sample)
        except NotUnderstood:
            if sent_back == 0:
                raise
            break
        errors = _judged(asked.value, rules, good, solution.blueprint, solution)
        if not errors or not left:
            break
        sent_back += 1
        retry = prompts.render("synthesis/repair_rubric", errors=errors)
        messages = [*messages[:1], {"role": "assistant", "content": asked.raw}, {"role": "user", "content": retry}]
    kept = tuple(rule for number, rule in enumerate(rules, 1) if number in good)
    if not kept:
        raise NoRubric(f"no rule can be checked: {next(iter(errors.values()), 'nothing was drafted')}")
    criteria = tuple(_forbidden(n, rules[number - 1], good[number]) for n, number in enumerate(sorted(good), start=1))
    dropped = {rule_text(rules[number - 1]): text for number, text in errors.items()}
    return Drafted(_rubric(criteria, subgoals, solution), kept, dropped, sent_back)


def _judged(
    drafted: ViolationsDraft,
    rules: Sequence[Rule],
    good: dict[int, Violation],
    blueprint: Blueprint,
    solution: Solution,
) -> dict[int, str]:
    """Adds to `good` what holds; gives the rules that still lack a violation, with the reason."""
    latest = {violation.rule: violation for violation in drafted.violations}
    errors = {}
    for number, rule in enumerate(rules, start=1):
        if number in good:
            continue
        violation = latest.get(number)
        trouble = "it is missing" if violation is None else trouble_with(violation, rule, blueprint, solution)
        if violation is not None and not trouble:
            good[number] = violation
        else:
            errors[number] = trouble
    return errors


def trouble_with(violation: Violation, rule: Rule, blueprint: Blueprint, solution: Solution) -> str:
    """Why a violation is no check of its rule; empty if it is one."""
    where = violation.where.strip().rstrip(";")
    calls = [call for call in violation.trap if call.tool in blueprint.programs]
    if not calls or calls[-1].tool != rule.tool:
        return f"the trap must end with a call of {rule.tool}"
    assert solution.ran is not None
    reference = [
        arguments
        for number, arguments in solution.ran.arguments.items()
        if isinstance(step := solution.steps[number], CallStep) and step.call == rule.tool
    ]
    if not where:
        return f"`where` is empty, but the reference calls {rule.tool} too" if reference else _tried(calls, blueprint)
    with blueprint.open() as world:
        for call in calls:
            result = world.call(call.tool, orjson.dumps(_plain(call)).decode())
            if not result.ok:
                return f"the trap's call {call.tool} {orjson.dumps(_plain(call)).decode()} fails: {result.response}"
        final = world.final()
    statements = [(where, Bound(arguments)) for arguments in (_plain(calls[-1]), *reference)]
    try:
        trap, *own = blueprint.query(final, statements)
    except (Denied, BudgetExceeded, EpisodeFailure, sqlite3.Error, ValueError) as error:
        return f"`where` does not run: {error}"
    if not trap:
        return "`where` gives no row for the trap's last call: it would not be seen as a violation"
    return "`where` gives a row for the reference's own call too" if any(own) else ""


def _tried(calls: Sequence[TrapCall], blueprint: Blueprint) -> str:
    with blueprint.open() as world:
        for call in calls:
            result = world.call(call.tool, orjson.dumps(_plain(call)).decode())
            if not result.ok:
                return f"the trap's call {call.tool} fails: {result.response}"
    return ""


def _plain(call: TrapCall) -> dict[str, Any]:
    return {argument.name: argument.value for argument in call.arguments if argument.value is not None}


def _forbidden(number: int, rule: Rule, violation: Violation) -> Criterion:
    where = violation.where.strip().rstrip(";") or None
    return Criterion(
        id=f"f{number}",
        text=f"Broke the rule: {rule_text(rule)}",
        check=Called(called=CallPattern(tool=rule.tool, where=where)),
        trap=tuple(CallStep(call=call.tool, args=_plain(call)) for call in violation.trap),
    )


def _calls(solution: Solution) -> list[tuple[str, str]]:
    """The reference's calls as they were made, for the teacher to see what is legal."""
    assert solution.ran is not None
    return [
        (step.call, orjson.dumps(solution.ran.arguments[number]).decode())
        for number, step in enumerate(solution.steps)
        if isinstance(step, CallStep)
    ]


def _rubric(forbidden: tuple[Criterion, ...], subgoals: Sequence[tuple[str, Check]], solution: Solution) -> Rubric:
    topics = {fact.id: fact.topic for fact in solution.hidden.facts}
    asked = [step.ask for step in solution.steps if isinstance(step, AskStep)]
    return Rubric(
        forbidden=forbidden,
        subgoals=tuple(Criterion(id=f"s{n}", text=text, check=check) for n, (text, check) in enumerate(subgoals, 1)),
        interactions=tuple(
            Criterion(id=f"i{n}", text=f"Asked the user: {topics[fact]}", check=Asked(asked=fact))
            for n, fact in enumerate(asked, start=1)
        ),
    )


def _subgoals(solution: Solution, workflow: Sequence[str]) -> Iterator[tuple[str, Check]]:
    """A check for each sub-goal of the workflow that leaves a trace in the records, the calls or the messages."""
    found: dict[int, list[Check]] = defaultdict(list)
    needed = _needed(solution)
    done = None
    if solution.ran is not None and solution.blueprint is not None:
        done = Outcomes(solution.steps, solution.ran, solution.blueprint.tables)
    for number, step in enumerate(solution.steps):
        for check in _traces(number, step, solution, needed, done):
            found[solution.goals[number]].append(check)
    for goal in sorted(found):
        checks = found[goal]
        text = workflow[goal] if goal < len(workflow) else "The request is done"
        yield text, checks[0] if len(checks) == 1 else All(all=tuple(checks))


def _needed(solution: Solution) -> set[int]:
    """Calls whose results a later step works with: an agent cannot do without them."""
    found = {saying.call for saying in solution.sayings}
    for step in solution.steps:
        if isinstance(step, CallStep):
            found |= set(_sources(step.args))
    return found


def _sources(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping):
        if "$from" in value:
            yield int(str(value["$from"]).partition(".")[0])
        for item in value.values():
            yield from _sources(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sources(item)


def _traces(
    number: int, step: ReferenceStep, solution: Solution, needed: set[int], done: Outcomes | None
) -> Iterator[Check]:
    """What a step leaves behind; `done` is None where it was not run."""
    if isinstance(step, SayStep) and done is not None:
        for saying in solution.sayings:
            if saying.step == number:
                source = solution.steps[saying.call]
                assert isinstance(source, CallStep)
                yield Before(
                    before=(done.looked_up(saying.call), Said(said=SaidSpec(tool=source.call, path=saying.path)))
                )
    if not isinstance(step, CallStep):
        return
    if done is None or solution.ran is None:
        facts = {fact.id: fact.value for fact in solution.hidden.facts}
        yield Called(called=CallPattern(tool=step.call, args=_known(step.args, facts)))
    elif solution.ran.changes.get(number):
        yield done.end_state([number])
    elif number in needed:
        yield done.looked_up(number)


def _known(args: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that are known without a run: literals and facts."""
    found = {}
    for name, value in args.items():
        if isinstance(value, Mapping):
            if "$fact" in value:
                found[name] = facts[value["$fact"]]
        else:
            found[name] = value
    return found
