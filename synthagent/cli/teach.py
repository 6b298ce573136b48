"""synth with a language model as the teacher: wiring, progress and figures."""

import hashlib
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import anyio

from synthagent import __version__
from synthagent.cli.agents import Role, casting, open_model, role
from synthagent.cli.console import Tick, print_json, print_table, progress, say
from synthagent.config import Settings, settings
from synthagent.errors import EndpointDown, InputError, RunFolderError
from synthagent.llm.caching import CallCache, cached
from synthagent.llm.ledger import Budget, BudgetSpent, Ledger, limited, metered
from synthagent.llm.model import ChatModel
from synthagent.llm.prices import price_of
from synthagent.llm.recording import recorded
from synthagent.llm.structured import Ladder, Structured
from synthagent.rollouts.group import roll_group
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task
from synthagent.storage.course_folder import CourseFolder
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis import personas as persona_files
from synthagent.synthesis.course import Course, figures, teach, without_duplicates
from synthagent.synthesis.forecast import forecast
from synthagent.synthesis.teaching import SKIPPABLE, Desk, Outcome, Plan, Skippable, fingerprints


@dataclass(frozen=True)
class Lesson:
    """What was asked for on the command line."""

    out: Path
    n: int
    teacher: str
    seed: int
    personas: Path | None
    limit: int | None
    world: str
    skip: Sequence[str]
    rounds: int
    similar: float
    max_tokens: int | None
    max_usd: float | None
    band: str | None
    band_agent: str | None
    band_n: int
    licence: str
    resume: bool
    record: bool
    config: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


def run_teach(lesson: Lesson, dry_run: bool, json: bool) -> None:
    """Writes up to n tasks to `out`, everything else into `out`.d, and prints what was kept, rejected and spent."""
    chosen = settings(lesson.config, lesson.options)
    who = role(lesson.teacher, "--teacher")
    if who.scheme == "scripted":
        raise InputError("--teacher: scripted agents do not teach", way_out="procedural, openai:MODEL@URL, gguf:PATH")
    plan = _plan(lesson)
    if dry_run:
        _foretold(lesson, plan, who, chosen, json)
        return
    budget = Budget(lesson.max_tokens, lesson.max_usd)
    if budget.usd is not None and price_of(_model_name(who), chosen.prices) is None:
        way_out = f'set [prices] "{_model_name(who)}" = {{input = ..., output = ...}} in synthagent.toml'
        raise InputError("--max-usd: nobody knows what this teacher costs", way_out=way_out)
    begun = time.monotonic()
    ledger = Ledger()
    folder_path = lesson.out.with_name(lesson.out.name + ".d")
    with CourseFolder.open(folder_path, _manifest(lesson, plan, who), resume=lesson.resume) as folder:
        stopped = anyio.run(_taught, lesson, plan, who, chosen, budget, ledger, folder)
        outcomes = [*_cut(without_duplicates(folder.outcomes(), lesson.similar), lesson.n)]
        count = write_tasks(lesson.out, (outcome.task for outcome in outcomes if outcome.task is not None))
    found = figures(outcomes)
    result = {
        "tasks": count,
        "seconds": round(time.monotonic() - begun, 3),
        **found,
        "usd": ledger.usd,
        "stages": ledger.rows(),
    }
    if json:
        print_json(result)
    else:
        _print(lesson, result, folder_path)
    if stopped is not None:
        raise BudgetSpent(f"{stopped}; what was finished is kept: raise the limit and use --resume")
    if not count:
        import typer

        raise typer.Exit(1)


def _print(lesson: Lesson, result: Mapping[str, Any], folder: Path) -> None:
    say(
        f"{result['kept']} tasks in {lesson.out}, {result['rejected']} personas rejected (all of it in {folder}), "
        f"{result['tokens']} tokens, {result['seconds']} s, synthagent {__version__}"
    )
    reasons = result["rejected_by_reason"]
    if reasons:
        print_table([{"rejected for": name, "personas": number} for name, number in reasons.items()],
                    ("rejected for", "personas"))  # fmt: skip
    print_table(
        result["stages"], ("role", "stage", "calls", "cached", "failed", "prompt", "completion", "seconds", "usd")
    )
    if not result["kept"]:
        say("nothing was kept: this teacher does not manage it, see the reasons above; a larger model may")


def _plan(lesson: Lesson) -> Plan:
    wrong = [name for name in lesson.skip if name not in SKIPPABLE]
    if wrong:
        raise InputError(f"--skip: '{wrong[0]}' cannot be left out", way_out=f"one of {', '.join(SKIPPABLE)}")
    if lesson.world not in ("sql", "none"):
        raise InputError(f"--world: '{lesson.world}' is not one of sql, none")
    if (lesson.band is None) != (lesson.band_agent is None):
        raise InputError("--band and --band-agent belong together")
    return Plan(
        world="sql" if lesson.world == "sql" else "none",
        skip=cast(tuple[Skippable, ...], tuple(lesson.skip)),
        rounds=lesson.rounds,
    )


def _manifest(lesson: Lesson, plan: Plan, who: Role) -> dict[str, Any]:
    return {
        "schema": "synthagent.course/1",
        "teacher": who.name,
        "seed": lesson.seed,
        "personas": _sha256(lesson.personas) if lesson.personas else "shipped",
        "plan": plan.model_dump(mode="json"),
        "band": [lesson.band, lesson.band_agent, lesson.band_n] if lesson.band else None,
        "prompts": fingerprints(),
    }


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _people(lesson: Lesson) -> Iterator[tuple[int, str]]:
    people = persona_files.stream(lesson.personas) if lesson.personas else iter(persona_files.shipped())
    return enumerate(islice(people, lesson.limit))


async def _taught(
    lesson: Lesson, plan: Plan, who: Role, chosen: Settings, budget: Budget, ledger: Ledger, folder: CourseFolder
) -> BudgetSpent | None:
    """Rounds of personas until n tasks are kept, near-duplicates not counted, or the personas or the budget end."""
    people = ((index, persona) for index, persona in _people(lesson) if index not in folder.done)
    for earlier in folder.outcomes():
        ledger.entry("teacher", "earlier runs").add(earlier.usage, price_of(_model_name(who), chosen.prices))
    async with _desks(lesson, plan, who, chosen, budget, ledger, folder) as desk:
        with progress("personas", lesson.limit or lesson.n) as tick:
            while True:
                kept, taken = _count(folder, lesson), len(folder.done)
                tally = _Tally(folder, tick, kept)
                course = Course(desk, chosen.in_flight, lambda tally=tally: tally.kept >= lesson.n)  # type: ignore[misc]
                try:
                    stopped = await teach(people, course, tally.see)
                except EndpointDown as error:
                    raise RunFolderError(
                        f"{who.name}: {error}; what was finished is in {folder.path}: mend it and use --resume"
                    ) from error
                if stopped or len(folder.done) == taken or _count(folder, lesson) >= lesson.n:
                    return stopped


def _count(folder: CourseFolder, lesson: Lesson) -> int:
    return sum(1 for o in without_duplicates(folder.outcomes(), lesson.similar) if o.task is not None)


class _Tally:
    """Puts outcomes into the folder and counts them for the progress line."""

    def __init__(self, folder: CourseFolder, tick: Tick, kept: int):
        self.folder, self.tick, self.kept = folder, tick, kept
        self.rejected = self.tokens = 0

    def see(self, outcome: Outcome) -> None:
        self.folder.add(outcome)
        self.kept += outcome.task is not None
        self.rejected += outcome.task is None
        self.tokens += outcome.usage.prompt + outcome.usage.completion
        each = f", {self.tokens // self.kept} tokens a kept task" if self.kept else ""
        last = f"; last: {outcome.stage}: {outcome.reason}" if outcome.task is None else ""
        self.tick(f"({self.kept} kept, {self.rejected} rejected{each}{last})")


def _cut(outcomes: Iterator[Outcome], n: int) -> Iterator[Outcome]:
    """Outcomes up to the n-th task."""
    kept = 0
    for outcome in outcomes:
        yield outcome
        kept += outcome.task is not None
        if kept >= n:
            return


@asynccontextmanager
async def _desks(
    lesson: Lesson, plan: Plan, who: Role, chosen: Settings, budget: Budget, ledger: Ledger, folder: CourseFolder
) -> AsyncIterator[Any]:
    """Gives a function that makes a persona's desk: its teacher is metered, cached, and stopped by the budget."""
    price = price_of(_model_name(who), chosen.prices)
    async with AsyncExitStack() as stack:
        model: ChatModel
        model, _ = await stack.enter_async_context(open_model(who, chosen))
        model = recorded(model, folder.record) if lesson.record else model
        cache = stack.enter_context(closing(CallCache.open(folder.calls)))
        asked = cached(limited(model, ledger, budget), cache, address=who.argument)
        shared = metered(asked, ledger, "teacher", price=price)
        band = await stack.enter_async_context(_band(lesson, chosen)) if lesson.band else None
        ladder = Ladder()

        def desk(own: Ledger) -> Desk:
            teacher = Structured(
                metered(shared, own, "teacher"), ladder, temperature=chosen.temperature,
                max_tokens=chosen.teacher_tokens,
            )  # fmt: skip
            return Desk(teacher, plan, folder.keep, lesson.seed, band, who.name, lesson.licence)

        yield desk


@asynccontextmanager
async def _band(lesson: Lesson, chosen: Settings) -> AsyncIterator[Any]:
    """A screen that lets an agent play a task n times and wants its mean reward within the band."""
    low, high = _range(lesson.band or "")
    who = role(lesson.band_agent or "", "--band-agent")
    async with casting(who, "text", chosen, lesson.seed) as cast_:

        async def screen(task: Task) -> Sequence[str]:
            group = await roll_group(task, cast_, Limits(), lesson.band_n, lesson.seed)
            if not group.rewards:
                return [f"{who.name} got no score in {lesson.band_n} tries"]
            mean = math.fsum(group.rewards) / len(group.rewards)
            return [] if low <= mean <= high else [f"{who.name} earns {mean:.2f}, outside {low:g}-{high:g}"]

        yield screen


def _range(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    try:
        found = (float(low), float(high))
    except ValueError:
        found = (1.0, 0.0)
    if not dash or not 0 <= found[0] <= found[1] <= 1:
        raise InputError(f"--band: '{text}' is not a range within 0 and 1, such as 0.2-0.85")
    return found


def _model_name(who: Role) -> str:
    return who.argument.partition("@")[0]


def _foretold(lesson: Lesson, plan: Plan, who: Role, chosen: Settings, json: bool) -> None:
    """Calls, tokens and money for the personas there are, without asking the teacher anything."""
    people = sum(1 for _ in _people(lesson))
    one = forecast(plan)
    usd = one.usd(price_of(_model_name(who), chosen.prices), people)
    tokens = [usage.prompt + usage.completion for usage in one.usage]
    result: dict[str, Any] = {
        "personas": people,
        "calls": [calls * people for calls in one.calls],
        "tokens": [number * people for number in tokens],
        "usd": None if usd is None else [round(cost, 4) for cost in usd],
    }
    if json:
        print_json(result)
        return
    cost = "no price known" if usd is None else f"{usd[0]:.2f} to {usd[1]:.2f} USD"
    say(
        f"{people} personas: {result['calls'][0]} to {result['calls'][1]} calls, "
        f"{result['tokens'][0]} to {result['tokens'][1]} tokens, {cost} (from nothing sent back to everything)"
    )
