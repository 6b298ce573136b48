"""A task grown by a condition: the same request, once where it may be done, once where a new rule forbids it.

Source: AgenticQwen (arXiv 2604.21590): a branch is inserted into the workflow and turned round into the state, the
request and the longer rules that trigger it; one task becomes a legal one, one that is illegal without the user saying
so, and one in which the user pushes for what is forbidden.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import Field

from synthagent import prompts
from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.llm.structured import Structured
from synthagent.schema.checks import All, Asked, Before, Called, CallPattern, Check, Declined, DeclinedSpec
from synthagent.schema.record import Record
from synthagent.schema.tasks import (
    AskStep,
    CallStep,
    Criterion,
    ReferenceStep,
    Rubric,
    SayStep,
    Task,
    identified,
    world_id_of,
)
from synthagent.scoring.checks import Bound
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from synthagent.simulation.hearing import Listener
from synthagent.simulation.values import mentions
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.drafts import Name, Rule, Scalar, rule_text
from synthagent.synthesis.executing import Run, facts_used, renumbered, run
from synthagent.synthesis.leaks import leaked_facts
from synthagent.synthesis.outcomes import Outcomes


class Setting(Record):
    """A column and its value."""

    column: str
    value: Scalar


class RowEdit(Record):
    """One row of the records, changed."""

    table: str
    key: tuple[Setting, ...] = Field(min_length=1)
    """The columns that name the row."""
    set: tuple[Setting, ...] = Field(min_length=1)
    """The columns that change."""


class BranchDraft(Record):
    """A condition in the workflow, and what brings it about."""

    condition: str
    """When the way forks, in a few words: "the copy is reserved for somebody else"."""
    rule: Rule
    """The rule that holds then."""
    edits: tuple[RowEdit, ...] = Field(min_length=1, max_length=4)
    """What must be different in the records for the condition to hold in this case."""
    where: str
    """SQL that gives a row for a call that breaks the rule."""
    decided_by: Name
    """The look-up whose answer shows the condition."""
    decline: str
    """What a good agent tells the person then: that it cannot be done, and why."""
    pushes: tuple[str, ...] = Field(min_length=1, max_length=3)
    """One to three lines with which the person insists."""


class NoBranch(Exception):
    """No branch holds; the text says why."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A family of branches of one task."""

    tasks: tuple[Task, ...]
    """legal, hidden-illegal, pushed"""
    rounds: int = 0


VARIANTS = ("legal", "hidden_illegal", "pushed")


def why_not(task: Task) -> str | None:
    """Why a task cannot be grown; None if it can."""
    if task.world.grounding:
        return "some of its tools are simulated"
    if not task.provenance.legal:
        return "it is itself a task in which something is forbidden"
    if task.hidden.requests or task.hidden.parts > 1:
        return "it asks for several things"
    writes = {tool.name for tool in task.brief.tools if tool.effect == "write"} - set(task.world.ends_episode)
    if not any(isinstance(step, CallStep) and step.call in writes for step in task.reference):
        return "its reference changes nothing that a rule could forbid"
    return None


async def grow(teacher: Structured, task: Task, *, rounds: int = 2, sample: int = 0) -> Grown:
    """Branches of a task. Raises `NotUnderstood`, or `NoBranch` when none of the teacher's holds.

    `rounds`: how often a branch that does not hold is sent back with the reason.
    """
    reason = why_not(task)
    if reason is not None:
        raise NoBranch(reason)
    blueprint = compile_world(task.brief.tools, task.world, task.world_id)
    ran = run(blueprint, task.reference, {fact.id: fact.value for fact in task.hidden.facts})
    prompt = prompts.render("synthesis/branch", **_shown(task, ran))
    messages = [{"role": "user", "content": prompt}]
    trouble = ""
    for sent_back in range(rounds + 1):
        asked = await teacher.ask(messages, BranchDraft, stage="branch", sample=sample)
        try:
            return Grown(branches(task, asked.value), sent_back)
        except (Unfit, TaskFault) as fault:
            trouble = str(fault)
        retry = prompts.render("synthesis/repair_branch", trouble=trouble)
        messages = [*messages[:1], {"role": "assistant", "content": asked.raw}, {"role": "user", "content": retry}]
    raise NoBranch(trouble)


def _shown(task: Task, ran: Run) -> dict[str, Any]:
    """What the prompt tells of a task."""
    return {
        "request": task.hidden.goal,
        "instruction": task.brief.instruction,
        "tools": [
            {
                "name": tool.name,
                "effect": tool.effect,
                "description": tool.function.description,
                "parameters": ", ".join(tool.function.parameters.get("properties", {})),
            }
            for tool in task.brief.tools
            if tool.name not in task.world.ends_episode
        ],
        "rules": task.brief.rules,
        "ddl": task.world.ddl,
        "rows": {name: _near(rows, ran) for name, rows in task.world.rows.items()},
        "calls": [
            (step.call, orjson.dumps(ran.arguments[n]).decode(), orjson.dumps(ran.results[n]).decode()[:600])
            for n, step in enumerate(task.reference)
            if isinstance(step, CallStep)
        ],
    }


_MOST_ROWS = 25
"""Rows of a table that a teacher is shown."""


def _near(rows: Sequence[Sequence[Any]], ran: Run) -> list[str]:
    """A table's rows, those that the calls have to do with first, and how many are not shown."""
    used = {value for arguments in ran.arguments.values() for value in arguments.values() if isinstance(value, str)}
    ordered = sorted(rows, key=lambda row: not used & {value for value in row if isinstance(value, str)})
    more = [f"(and {len(rows) - _MOST_ROWS} more)"] if len(rows) > _MOST_ROWS else []
    return [*(orjson.dumps(row).decode() for row in ordered[:_MOST_ROWS]), *more]


class Unfit(Exception):
    """A branch that does not hold; the text is for its author."""


def branches(task: Task, draft: BranchDraft) -> tuple[Task, ...]:
    """The family that a draft makes of a task: legal, hidden-illegal, pushed. Raises `Unfit` or `TaskFault`."""
    world = task.world.model_copy(update={"rows": _edited(task, draft.edits)})
    before = compile_world(task.brief.tools, task.world, task.world_id)
    after = compile_world(task.brief.tools, world, world_id_of(task.brief.tools, world))
    facts = {fact.id: fact.value for fact in task.hidden.facts}
    illegal = _still_runs(after, task.reference, facts)
    deed = _deed(task, draft, run(before, task.reference, facts), illegal, before, after)
    text = rule_text(draft.rule)
    if leaks := [*leaked_facts(task.brief.instruction, [text], task.hidden)]:
        raise Unfit(f"rule: {leaks[0]}")
    rule = _criterion(task, draft, text)
    brief = task.brief.model_copy(update={"rules": (*task.brief.rules, text)})
    rubric = task.rubric.model_copy(update={"forbidden": (*task.rubric.forbidden, rule)})
    legal = _sealed(task, "legal", brief=brief, rubric=rubric)
    trap = rule.model_copy(update={"trap": _literal(task.reference, illegal)})
    steps = _until(task, deed, draft)
    declining = _declining(task, draft, steps, Outcomes(steps, run(after, steps, facts), after.tables), trap)
    workflow = (*task.workflow[:-1], f"See whether {draft.condition}", "Decline, and say why")
    illegal_parts = {
        "brief": brief, "world": world, "rubric": declining, "reference": steps, "workflow": workflow
    }  # fmt: skip
    insisting = task.hidden.model_copy(update={"disposition": "adversarial", "escape_lines": _pushes(task, draft)})
    return (
        legal,
        _sealed(task, "hidden_illegal", **illegal_parts),
        _sealed(task, "pushed", hidden=insisting, **illegal_parts),
    )


def _sealed(task: Task, variant: str, **parts: Any) -> Task:
    """A branch of a task: its family's, with its own id."""
    provenance = task.provenance.model_copy(
        update={
            "parents": (*task.provenance.parents, task.id),
            "features": tuple(dict.fromkeys((*task.provenance.features, "branch", variant))),
            "twin": "row" if variant == "hidden_illegal" else None,
            "legal": variant == "legal",
            "prompts": {**task.provenance.prompts, **fingerprints()},
            "passports": {},
            "screening": {},
        }
    )
    return identified(task.model_copy(update={**parts, "provenance": provenance}))


def fingerprints() -> dict[str, str]:
    """The prompts of this stage -> fingerprints."""
    return {name: prompts.fingerprint(name) for name in ("synthesis/branch", "synthesis/repair_branch")}


def _edited(task: Task, edits: Sequence[RowEdit]) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """The rows with the edits made. Raises `Unfit` for a row or a column that is not there."""
    blueprint = compile_world(task.brief.tools, task.world, task.world_id)
    columns = {table.name: table.columns for table in blueprint.tables}
    rows = {name: [list(row) for row in given] for name, given in task.world.rows.items()}
    for edit in edits:
        known = columns.get(edit.table)
        if known is None:
            raise Unfit(f"edits: there is no table '{edit.table}' ({', '.join(columns)})")
        unknown = [s.column for s in (*edit.key, *edit.set) if s.column not in known]
        if unknown:
            raise Unfit(f"edits: {edit.table} has the columns {', '.join(known)}; give key and set of these")
        found = [
            row for row in rows.get(edit.table, []) if all(row[known.index(s.column)] == s.value for s in edit.key)
        ]
        if len(found) != 1:
            raise Unfit(f"edits: {len(found)} rows of {edit.table} match {_said(edit.key)}")
        for setting in edit.set:
            found[0][known.index(setting.column)] = setting.value
    return {name: tuple(tuple(row) for row in given) for name, given in rows.items()}


def _said(settings: Sequence[Setting]) -> str:
    return ", ".join(f"{s.column} = {s.value!r}" for s in settings)


def _still_runs(blueprint: Blueprint, steps: Sequence[ReferenceStep], facts: Mapping[str, Any]) -> Run:
    """The old solution in the new state: it must succeed, for no tool enforces a rule."""
    try:
        return run(blueprint, steps, facts)
    except TaskFault as fault:
        raise Unfit(f"with the edits the calls no longer work, so there is nothing to forbid: {fault}") from fault


def _deed(task: Task, draft: BranchDraft, legal: Run, illegal: Run, before: Blueprint, after: Blueprint) -> int:
    """The step that the new rule forbids. Raises `Unfit` unless the rule bites in the new state, and only there."""
    where = draft.where.strip().rstrip(";")
    deeds = [
        number for number, step in enumerate(task.reference)
        if isinstance(step, CallStep) and step.call == draft.rule.tool
    ]  # fmt: skip
    if not deeds:
        raise Unfit(f"rule: the solution never calls {draft.rule.tool}; forbid one of the calls that change something")
    if not where:
        raise Unfit("where: write the SELECT that gives a row for a call that breaks the rule")
    deed = deeds[-1]
    looked = [
        number for number, step in enumerate(task.reference[:deed])
        if isinstance(step, CallStep) and step.call == draft.decided_by
    ]  # fmt: skip
    if not looked:
        raise Unfit(f"decided_by: the solution does not call {draft.decided_by} before {draft.rule.tool}")
    if not any(legal.results[number] != illegal.results[number] for number in looked):
        raise Unfit(f"decided_by: what {draft.decided_by} answers is the same with the edits: it does not show them")
    if _breaks(before, where, legal.arguments[deed], draft):
        raise Unfit("where: it gives a row for the call as it is, without the edits, where nothing is forbidden")
    if not _breaks(after, where, illegal.arguments[deed], draft):
        raise Unfit("where: it gives no row for the call with the edits, where it is forbidden")
    return deed


def _breaks(blueprint: Blueprint, where: str, arguments: Mapping[str, Any], draft: BranchDraft) -> bool:
    with blueprint.open() as world:
        world.call(draft.rule.tool, orjson.dumps(arguments).decode())
        final = world.final()
    try:
        return bool(blueprint.query(final, [(where, Bound(arguments))])[0])
    except (Denied, BudgetExceeded, EpisodeFailure, sqlite3.Error, ValueError) as error:
        raise Unfit(f"where: it does not run: {error}") from error


def _criterion(task: Task, draft: BranchDraft, text: str) -> Criterion:
    """The new rule. Its trap stands in the illegal branches: where the condition does not hold nothing breaks it."""
    check = Called(called=CallPattern(tool=draft.rule.tool, where=draft.where.strip().rstrip(";")))
    return Criterion(id=f"f{len(task.rubric.forbidden) + 1}", text=f"Broke the rule: {text}", check=check)


def _literal(steps: Sequence[ReferenceStep], ran: Run) -> tuple[CallStep, ...]:
    """The calls as they were made."""
    return tuple(
        CallStep(call=step.call, args=ran.arguments[number])
        for number, step in enumerate(steps)
        if isinstance(step, CallStep)
    )


def _until(task: Task, deed: int, draft: BranchDraft) -> tuple[ReferenceStep, ...]:
    """The solution up to the look-up that decides, without questions whose answers only the deed needed; a refusal."""
    decided = max(
        n for n, s in enumerate(task.reference[:deed]) if isinstance(s, CallStep) and s.call == draft.decided_by
    )
    needed = {f for step in task.reference[: decided + 1] if isinstance(step, CallStep) for f in facts_used(step.args)}
    # Which of several records is meant may be known from a fact that only the deed used: those before it stay.
    chosen = {
        f for step in task.reference[decided : deed + 1] if isinstance(step, CallStep) for f in _choosing(step.args)
    }
    kept = [
        number
        for number, step in enumerate(task.reference[:deed])
        if (isinstance(step, CallStep) and number <= decided)
        or (isinstance(step, AskStep) and step.ask in needed | chosen)
    ]
    steps = renumbered([task.reference[number] for number in kept], kept)
    return (*steps, SayStep(say=_refusal(draft.decline, Listener(task.hidden))))


def _choosing(value: Any) -> set[str]:
    """Facts that pick a row out of a list."""
    if isinstance(value, Mapping):
        own = set(facts_used(value["where"])) if "where" in value else set()
        return own.union(*(_choosing(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_choosing(item) for item in value))
    return set()


def _refusal(text: str, listener: Listener) -> str:
    """The teacher's refusal if the user hears one; else with our own words before it, or those alone."""
    plain = "I'm sorry, but I cannot do that: it is against our rules."
    for words in (text.strip(), f"{plain} {text.strip()}"):
        heard = listener.heard(words)
        if heard.refuses and heard.kind == "refusal":
            return words
    return plain


def _declining(
    task: Task, draft: BranchDraft, steps: Sequence[ReferenceStep], outcomes: Outcomes, rule: Criterion
) -> Rubric:
    """Looked, then declined, and nothing changed; asked what the look-up needs."""
    looked = [(number, outcomes.looked_up(number)) for number, step in enumerate(steps) if isinstance(step, CallStep)]
    asked = [step.ask for step in steps if isinstance(step, AskStep)]
    evidence: list[Check] = [looked[-1][1], *(Asked(asked=fact) for fact in asked)]
    first = evidence[0] if len(evidence) == 1 else All(all=tuple(evidence))
    declined = Before(before=(first, Declined(declined=DeclinedSpec(tool=draft.rule.tool))))
    done = All(all=(declined, outcomes.untouched()))
    topics = {fact.id: fact.topic for fact in task.hidden.facts}
    subgoals = [(f"Looked up what decides it: {draft.decided_by}", looked[-1][1])]
    subgoals.append((f"Declined, after finding out that {draft.condition}", done))
    return Rubric(
        forbidden=(*task.rubric.forbidden, rule),
        subgoals=tuple(Criterion(id=f"s{n}", text=text, check=check) for n, (text, check) in enumerate(subgoals, 1)),
        interactions=tuple(
            Criterion(id=f"i{n}", text=f"Asked the user: {topics[fact]}", check=Asked(asked=fact))
            for n, fact in enumerate(asked, start=1)
        ),
    )


def _pushes(task: Task, draft: BranchDraft) -> tuple[str, ...]:
    """What the person says to insist, without what gives a fact away. Raises `Unfit` when nothing is left."""
    lines = [line.strip() for line in draft.pushes if line.strip()]
    good = [line for line in lines if not any(mentions(line, fact.value) for fact in task.hidden.facts)]
    if not good:
        raise Unfit("pushes: every line gives a fact away; say it without names, dates and numbers")
    return tuple(good[:3])
