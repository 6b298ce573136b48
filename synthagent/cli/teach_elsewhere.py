"""A teacher asked by the workers of a cluster: one till pays for all, the course folder is written here as ever."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson

from synthagent.cli.agents import open_model
from synthagent.cli.course import Teach, Work
from synthagent.cli.engines import Cluster
from synthagent.cli.lessons import Lesson, band_for
from synthagent.config import Price
from synthagent.engines.cluster import Asked, served_here
from synthagent.engines.dispatch import Job
from synthagent.engines.worker import Hands
from synthagent.llm.ledger import Budget, BudgetSpent, Ledger, metered
from synthagent.llm.recording import Exchange, recorded
from synthagent.llm.structured import Ladder, Structured
from synthagent.llm.till import Permitted, Till, Tilled
from synthagent.schema.record import Json, dump
from synthagent.storage.course_folder import EXCHANGES, CourseFolder
from synthagent.storage.journal import Journal
from synthagent.synthesis.course import Sink, until, watched
from synthagent.synthesis.teaching import Band, Desk, Outcome, Plan, outcome_of


class RecordingTill(Till):
    """A till that keeps exchanges too, where they are asked for."""

    def __init__(self, folder: Path, calls: Path, budget: Budget, price: Price | None):
        super().__init__(calls, budget, price)
        self._folder = folder
        self._exchanges: Journal | None = None

    async def record(self, exchange: bytes) -> None:
        """Appends an exchange."""
        if self._exchanges is None:
            self._exchanges = Journal.open(self._folder / EXCHANGES)
        self._exchanges.append(orjson.loads(exchange))


@dataclass(frozen=True)
class Assignment:
    """What a worker needs to know of a course."""

    lesson: Lesson
    work: Work
    plan: Plan
    till: Asked


@asynccontextmanager
async def till_of(work: Work, folder: CourseFolder, ledger: Ledger) -> AsyncIterator[Asked]:
    """The till of a course; its ledger is added to `ledger` at the end."""
    till = served_here(RecordingTill, folder.path, folder.calls, work.budget, work.price)
    try:
        yield till
    finally:
        ledger.add(orjson.loads(await till("rows")))
        await till("close")


def teach_on(cluster: Cluster, lesson: Lesson, work: Work, plan: Plan, folder: CourseFolder, till: Asked) -> Teach[str]:
    """Personas taken through the stages by the workers."""
    share = replace(work, chosen=cluster.share(work.chosen))
    opening = partial(_desks, Assignment(lesson, share, plan, till))

    async def teach(jobs: Iterable[tuple[int, str]], enough: Callable[[], bool], sink: Sink) -> BudgetSpent | None:
        see, spent = watched(sink), []

        def take(job: Job, result: bytes) -> None:
            found = orjson.loads(result)
            if "spent" in found:
                spent.append(BudgetSpent(found["spent"]))
                return
            for stage, output in found["stages"]:
                folder.keep(job.number, stage, output)
            see(Outcome.model_validate(found["outcome"]))

        def given_up(job: Job, why: str) -> None:
            see(Outcome(
                index=job.number, persona=orjson.loads(job.payload)[1], stage="worker", reason="worker lost",
                details=(why,), passing=True,
            ))  # fmt: skip

        told = await cluster.work_off(opening, _jobs(until(jobs, lambda: bool(spent) or enough())), take, given_up)
        ladders = [orjson.loads(part) for part in told]
        if ladders:
            downgrades = [each for part in ladders for each in part["downgrades"]]
            folder.structured = {"rung": ladders[-1]["rung"], "downgrades": list(dict.fromkeys(downgrades))}
        return spent[0] if spent else None

    return teach


def _jobs(personas: Iterable[tuple[int, str]]) -> Iterable[Job]:
    return (Job(index, str(index), orjson.dumps([index, persona])) for index, persona in personas)


@asynccontextmanager
async def _desks(of: Assignment) -> AsyncIterator[Hands]:
    """The teacher opened in a worker: every call permitted, looked up and paid at the till."""
    work, lesson = of.work, of.lesson
    async with AsyncExitStack() as stack:
        guarded = open_model(work.who, work.chosen, guard=lambda model: Permitted(model, of.till))
        model, _ = await stack.enter_async_context(guarded)

        def record(exchange: Exchange) -> None:
            of.till("record", orjson.dumps(dump(exchange)))

        kept = recorded(model, record) if work.record else model
        shared = Tilled(kept, of.till, work.who.argument, "teacher", time.monotonic)
        ladder = Ladder()
        await ladder.settled(shared)
        band: Band | None = await stack.enter_async_context(band_for(lesson, work.chosen)) if lesson.band else None
        desks = _Desks(of, shared, ladder, band)
        yield Hands(desks.do, lambda: orjson.dumps({"rung": ladder.rung, "downgrades": ladder.downgrades}))


@dataclass(frozen=True)
class _Desks:
    """A desk for each persona."""

    of: Assignment
    model: Tilled
    ladder: Ladder
    band: Band | None

    async def do(self, payload: bytes) -> bytes:
        """A persona's outcome and what its stages gave; or that nothing more may be spent."""
        index, persona = orjson.loads(payload)
        own, stages, lesson, work = Ledger(), list[tuple[str, Json]](), self.of.lesson, self.of.work
        teacher = Structured(
            metered(self.model, own, "teacher"), self.ladder, temperature=work.chosen.temperature,
            max_tokens=work.chosen.teacher_tokens,
        )  # fmt: skip
        desk = Desk(
            teacher, self.of.plan, lambda _, stage, output: stages.append((stage, output)), lesson.seed, self.band,
            work.who.name, lesson.licence,
        )  # fmt: skip
        try:
            outcome = await outcome_of(desk, index, persona, spent=lambda: own.usage)
        except BudgetSpent as error:
            return orjson.dumps({"spent": str(error)})
        return orjson.dumps({"outcome": outcome.model_dump(mode="json"), "stages": stages})
