"""From a persona to a verified task with a language model as the teacher: every stage in order, one persona at a time.

Whatever a teacher does, a persona ends as an `Outcome`: a task, or the stage at which it was given up and why.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, get_args

from pydantic import Field

from synthagent import prompts
from synthagent.errors import EpisodeFailure, ModelFailed
from synthagent.llm.model import ContextOverflow
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.messages import Usage
from synthagent.schema.record import Json, Record, content_id, dump
from synthagent.schema.tasks import Brief, Provenance, Task, identified
from synthagent.simulation.episode import prepare
from synthagent.synthesis import fuzzing, grounding, rubric, scenario, solving, toolset, world
from synthagent.synthesis.drafts import rule_text
from synthagent.synthesis.personal_data import personal_data
from synthagent.synthesis.procedural.voice import disposition_of
from synthagent.synthesis.red_team import too_easy
from synthagent.synthesis.screening import objections, pending
from synthagent.synthesis.tables import TablesDraft

Skippable = Literal["review", "rules", "fuzz", "screening"]
"""Stages that can be left out; the rest cannot do without one another."""
SKIPPABLE: tuple[Skippable, ...] = get_args(Skippable)


class Plan(Record):
    """Which stages a run has, and how often they may be repaired."""

    world: Literal["sql", "none"] = "sql"
    """`none`: every tool is simulated, as in the paper."""
    skip: tuple[Skippable, ...] = ()
    tries: int = Field(default=1, ge=1)
    """How often a persona is begun anew before it is given up."""
    rounds: int = 2
    """How often a program, a plan or a violation is sent back with what is wrong with it."""


_NEXT_TRY = 1_000_003
"""Between the samples of two tries: seeds near one another must not share them."""


class Outcome(Record):
    """How one persona (or one task that was to be grown) ended."""

    index: int
    persona: str
    tasks: tuple[Task, ...] = ()
    """Kept: one for a persona, a family of branches for a task."""
    stage: str = ""
    """Rejected: at which stage."""
    reason: str = ""
    """Rejected: why, in two or three words to count by."""
    details: tuple[str, ...] = ()
    """Rejected: why, at length."""
    raw: str = ""
    """Rejected because it was not understood: the teacher's last words."""
    passing: bool = False
    """Rejected for something that may pass (an endpoint that was down): a resumed run tries again."""
    usage: Usage = Usage()
    """Tokens of every call for this persona, cached ones too."""
    tools: int = 0
    """Tools for which a program was wanted."""
    compiled: int = 0
    """Tools whose program works."""
    repairs: int = 0
    """Programs, plans and violations that were sent back."""


Keep = Callable[[int, str, Json], None]
"""Keeps what a stage gave: (persona's number, stage, output)."""
Band = Callable[[Task], Awaitable[Sequence[str]]]
"""Objections from letting an agent play; none means that its pass rate lies in the band."""


@dataclass
class Desk:
    """What one persona's way through the stages needs."""

    teacher: Structured
    plan: Plan
    keep: Keep
    seed: int = 0
    band: Band | None = None
    name: str = "teacher"
    """The teacher, for the task's provenance."""
    licence: str = ""
    """Of the teacher's output."""
    progress: dict[str, int] = field(default_factory=dict)
    """tools, compiled, repairs: what has been done so far, also when it is given up."""


async def outcome_of(desk: Desk, index: int, persona: str, spent: Callable[[], Usage]) -> Outcome:
    """A persona's outcome, the last one's if it took several tries.

    Raises only what stops the whole run (`BudgetSpent`, our own mistakes). `spent`: tokens used for it so far.
    """
    outcome = await settled(desk, index, persona, _made(desk, index, persona, desk.seed), spent)
    for again in range(1, desk.plan.tries):
        if outcome.tasks or outcome.passing or outcome.stage == "persona":
            break
        sample = desk.seed + again * _NEXT_TRY
        outcome = await settled(desk, index, persona, _made(desk, index, persona, sample), spent)
    return outcome


async def settled(
    desk: Desk, index: int, persona: str, making: Awaitable[Sequence[Task]], spent: Callable[[], Usage]
) -> Outcome:
    """What came of making tasks: the tasks with what they cost, or the stage and the reason."""
    try:
        made = await making
    except (NotUnderstood, EpisodeFailure, Refused, toolset.NotSolvable, solving.Unsolved, rubric.NoRubric) as error:
        found: dict[str, Any] = _why(error)
    else:
        each = (spent().prompt + spent().completion) // len(made)
        found = {"tasks": tuple(_changed(task, tokens=each) for task in made)}
    return Outcome(index=index, persona=persona, usage=spent(), **found, **desk.progress)


def _changed(task: Task, **provenance: Any) -> Task:
    return task.model_copy(update={"provenance": task.provenance.model_copy(update=provenance)})


def _why(error: Exception) -> dict[str, Any]:
    """The fields of an outcome that say why there is no task."""
    match error:
        case Refused():
            return {"stage": error.stage, "reason": error.reason, "details": error.details}
        case NotUnderstood():
            return {"stage": error.stage, "reason": "not understood", "details": tuple(error.errors), "raw": error.raw}
        case ModelFailed():
            passing = not isinstance(error, ContextOverflow)
            return {"stage": "teacher", "reason": error.reason, "details": (str(error),), "passing": passing}
        case toolset.NotSolvable():
            stage, reason = "review", "not solvable"
        case solving.Unsolved():
            stage, reason = "reference", "no plan works"
        case rubric.NoRubric():
            stage, reason = "rubric", "nothing to check"
        case _:
            stage, reason = "world", "does not hold together"
    return {"stage": stage, "reason": reason, "details": (str(error),)}


class Refused(Exception):
    """A persona is given up at a stage."""

    def __init__(self, stage: str, reason: str, details: Sequence[str]):
        super().__init__(f"{stage}: {reason}")
        self.stage, self.reason, self.details = stage, reason, tuple(details)


async def _made(desk: Desk, index: int, persona: str, sample: int) -> tuple[Task]:
    """A task that has passed every screen. Raises what `outcome_of` sorts."""
    found = personal_data(persona)
    if found:
        raise Refused("persona", "personal data", found)
    idea = await scenario.imagine(desk.teacher, persona, sample)
    desk.keep(index, "scenario", dump(idea))
    tools = await _toolset(desk, index, idea, sample)
    tables, built = await _world(desk, index, idea, tools, sample)
    drafts = built.drafts
    fuzzed = await _fuzzed(desk, index, persona, idea, tools, sample)
    solution = await solving.solve(
        desk.teacher, idea, drafts, built, tables, fuzzed.instruction, fuzzed.hidden,
        rounds=desk.plan.rounds, sample=sample,
    )  # fmt: skip
    _count(desk, repairs=solution.rounds)
    desk.keep(index, "reference", [dump(step) for step in solution.steps])
    drafted = await rubric.draft(
        desk.teacher, drafts, tools.rules, tables, solution, idea.workflow, rounds=desk.plan.rounds, sample=sample
    )
    _count(desk, repairs=drafted.rounds)
    desk.keep(index, "rubric", {"rubric": dump(drafted.rubric), "dropped": dict(drafted.dropped)})
    return (await _screened(desk, _task(desk, index, persona, idea, built, fuzzed, solution, drafted)),)


async def _toolset(desk: Desk, index: int, idea: scenario.Scenario, sample: int) -> toolset.Toolset:
    tools = await toolset.equip(desk.teacher, idea, sample)
    desk.keep(index, "toolset", dump(tools))
    if "review" not in desk.plan.skip:
        review = await toolset.review(desk.teacher, idea, tools, sample)
        desk.keep(index, "review", dump(review))
        tools = toolset.reviewed(tools, review)
    return tools.model_copy(update={"rules": ()}) if "rules" in desk.plan.skip else tools


async def _world(
    desk: Desk, index: int, idea: scenario.Scenario, tools: toolset.Toolset, sample: int
) -> tuple[TablesDraft | None, world.Built]:
    if desk.plan.world == "none":
        built = await grounding.ground(desk.teacher, idea, tools.tools, sample)
        desk.keep(index, "grounding", dump(built.world))
        return None, built
    _count(desk, tools=len(tools.tools))
    tables, built = await world.build(desk.teacher, idea, tools, rounds=desk.plan.rounds, sample=sample)
    _count(desk, repairs=built.rounds, compiled=built.compiled)
    desk.keep(index, "world", {"world": dump(built.world), "simulated": dict(built.simulated)})
    if not built.compiled:
        raise Refused("world", "no program works", [f"{tool}: {why}" for tool, why in built.simulated.items()])
    return tables, built


async def _fuzzed(
    desk: Desk, index: int, persona: str, idea: scenario.Scenario, tools: toolset.Toolset, sample: int
) -> fuzzing.Fuzzed:
    if "fuzz" in desk.plan.skip:
        return fuzzing.unfuzzed(idea)
    disposition = disposition_of(persona, Random(f"{desk.seed}/{index}"))
    fuzzed = await fuzzing.fuzz(desk.teacher, idea, tools.tools, tools.rules, disposition, sample)
    desk.keep(index, "fuzz", {"instruction": fuzzed.instruction, "hidden": dump(fuzzed.hidden)})
    return fuzzed


def _count(desk: Desk, **more: int) -> None:
    for name, number in more.items():
        desk.progress[name] = desk.progress.get(name, 0) + number


def _task(
    desk: Desk, index: int, persona: str, idea: scenario.Scenario, built: world.Built, fuzzed: fuzzing.Fuzzed,
    solution: solving.Solution, drafted: rubric.Drafted,
) -> Task:  # fmt: skip
    family = f"{idea.domain}-{content_id([persona, desk.seed, index])[:8]}"
    return identified(
        Task(
            family=family,
            brief=Brief(
                instruction=fuzzed.instruction, tools=built.tools, rules=tuple(rule_text(r) for r in drafted.rules)
            ),
            hidden=solution.hidden,
            world=built.world,
            workflow=idea.workflow,
            rubric=drafted.rubric,
            reference=solution.steps,
            provenance=Provenance(
                persona=persona,
                teacher=desk.name,
                domain=idea.domain,
                seeds=(desk.seed, index),
                prompts=fingerprints(),
                output_licence=desk.licence,
            ),
        )
    )


def fingerprints() -> dict[str, str]:
    """Prompt -> fingerprint, for every prompt of a teacher."""
    return {name: prompts.fingerprint(name) for name in prompts.names("synthesis")}


async def _screened(desk: Desk, task: Task) -> Task:
    """The task with its screening results. Raises `Refused` with the first screen it fails."""
    if "screening" in desk.plan.skip:
        return task
    await verify([task])
    waiting = pending(task)
    if not waiting:
        off = await desk.band(task) if desk.band else ()
        if off:
            raise Refused("screening", "pass rate", off)
    played = "pending_simulation" if waiting else "passed"
    screening = {"schema": "passed", "leak": "passed", **dict.fromkeys(("solvable", "necessity", "red_team"), played)}
    if desk.band:
        screening["pass_rate"] = played
    return _changed(task, screening=screening)


async def verify(family: Sequence[Task]) -> None:
    """Raises `Refused` unless every task of a family is verified by execution and holds the red team down."""
    found = await objections(family)
    if found:
        raise Refused("screening", found[0].screen, [objection.text for objection in found])
    for task in family:
        easy = [] if pending(task) else await too_easy(prepare(task))
        if easy:
            raise Refused("screening", "red team", easy)
