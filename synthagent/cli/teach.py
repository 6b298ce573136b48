"""synth with a language model as the teacher."""

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, cast

import anyio

from synthagent.cli.agents import Role, role
from synthagent.cli.console import print_json, say
from synthagent.cli.course import Work, budget_of, finish, here, model_name, school, teacher_role, work_through
from synthagent.cli.engines import Cluster, running
from synthagent.cli.lessons import Lesson, band_for, band_range
from synthagent.cli.teach_elsewhere import teach_on, till_of
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.llm.ledger import BudgetSpent, Ledger
from synthagent.llm.prices import price_of
from synthagent.storage.course_folder import CourseFolder
from synthagent.storage.digests import sha256
from synthagent.synthesis import personas as persona_files
from synthagent.synthesis.forecast import forecast
from synthagent.synthesis.teaching import SKIPPABLE, Desk, Outcome, Plan, Skippable, fingerprints, outcome_of


def run_teach(lesson: Lesson, dry_run: bool, json: bool) -> None:
    """Writes up to n tasks to `out`, everything else into `out`.d, and prints what was kept, rejected and spent."""
    chosen = settings(lesson.config, lesson.options)
    who, plan = teacher_role(lesson.teacher), _plan(lesson)
    if dry_run:
        _foretold(lesson, plan, who, chosen, json)
        return
    budget = budget_of(who, chosen, lesson.max_tokens, lesson.max_usd)
    work = Work(lesson.out, lesson.n, who, chosen, budget, lesson.record, lesson.similar)
    begun, ledger = time.monotonic(), Ledger()
    with CourseFolder.open(work.folder, _manifest(lesson, plan, who), resume=lesson.resume) as folder:
        with running(lesson.engine, chosen) as cluster:
            stopped = anyio.run(_taught, lesson, work, plan, ledger, folder, cluster)
        finish(work, folder, ledger, begun, stopped, json)


def _plan(lesson: Lesson) -> Plan:
    wrong = [name for name in lesson.skip if name not in SKIPPABLE]
    if wrong:
        raise InputError(f"--skip: '{wrong[0]}' cannot be left out", way_out=f"one of {', '.join(SKIPPABLE)}")
    if lesson.world not in ("sql", "none"):
        raise InputError(f"--world: '{lesson.world}' is not one of sql, none")
    if (lesson.band is None) != (lesson.band_agent is None):
        raise InputError("--band and --band-agent belong together")
    if lesson.band is not None and lesson.band_agent is not None:
        band_range(lesson.band)
        role(lesson.band_agent, "--band-agent")
    return Plan(
        world="sql" if lesson.world == "sql" else "none",
        skip=cast(tuple[Skippable, ...], tuple(lesson.skip)),
        rounds=lesson.rounds,
        tries=lesson.tries,
    )


def _manifest(lesson: Lesson, plan: Plan, who: Role) -> dict[str, Any]:
    return {
        "schema": "synthagent.course/1",
        "teacher": who.name,
        "seed": lesson.seed,
        "personas": sha256(lesson.personas) if lesson.personas else "shipped",
        "plan": plan.model_dump(mode="json"),
        "band": [lesson.band, lesson.band_agent, lesson.band_n] if lesson.band else None,
        "prompts": fingerprints(),
    }


def _people(lesson: Lesson) -> Iterator[tuple[int, str]]:
    people = persona_files.stream(lesson.personas) if lesson.personas else iter(persona_files.shipped())
    return enumerate(islice(people, lesson.limit))


async def _taught(
    lesson: Lesson, work: Work, plan: Plan, ledger: Ledger, folder: CourseFolder, cluster: Cluster | None
) -> BudgetSpent | None:
    total = sum(1 for _ in _people(lesson))
    if cluster is not None:
        async with till_of(work, folder, ledger) as till:
            teach = teach_on(cluster, lesson, work, plan, folder, till)
            return await work_through(work, _people(lesson), total, folder, teach)
    async with AsyncExitStack() as stack:
        open_school = await stack.enter_async_context(school(work, ledger, folder))
        band = await stack.enter_async_context(band_for(lesson, work.chosen)) if lesson.band else None

        async def take(job: tuple[int, str], own: Ledger) -> Outcome:
            desk = Desk(
                open_school.teacher(own, job[0]), plan, folder.keep, lesson.seed, band, work.who.name, lesson.licence
            )
            return await outcome_of(desk, *job, spent=lambda: own.usage)

        return await work_through(work, _people(lesson), total, folder, here(work, take))


def _foretold(lesson: Lesson, plan: Plan, who: Role, chosen: Settings, json: bool) -> None:
    """Calls, tokens and money for the personas there are, without asking the teacher anything."""
    people = sum(1 for _ in _people(lesson))
    one = forecast(plan)
    usd = one.usd(price_of(model_name(who), chosen.prices), people)
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
