"""What commands with a teacher share: its model opened, cached, metered and limited; the folder; the figures."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synthagent import __version__
from synthagent.cli.agents import Role, open_model, role
from synthagent.cli.console import Tick, print_json, print_table, progress, say
from synthagent.config import Price, Settings
from synthagent.errors import EndpointDown, InputError, RunFolderError
from synthagent.llm.caching import CallCache, cached
from synthagent.llm.ledger import Budget, BudgetSpent, Ledger, limited, metered
from synthagent.llm.model import ChatModel
from synthagent.llm.prices import price_of
from synthagent.llm.recording import recorded
from synthagent.llm.structured import Ladder, Structured
from synthagent.simulation.agent import ToolForm
from synthagent.storage.course_folder import CourseFolder
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.course import Course, Sink, figures, teach, without_duplicates
from synthagent.synthesis.teaching import Outcome

J = TypeVar("J")


Teach = Callable[[Iterable[tuple[int, J]], Callable[[], bool], Sink], Awaitable[BudgetSpent | None]]
"""(jobs, enough, sink) -> the budget's reason, if that was why it stopped."""


def here(work: "Work", take: Callable[[tuple[int, J], Ledger], Awaitable[Outcome]]) -> Teach[J]:
    """Jobs done in this process, each with a ledger of its own."""

    async def teach_here(jobs: Iterable[tuple[int, J]], enough: Callable[[], bool], sink: Sink) -> BudgetSpent | None:
        return await teach(jobs, Course(take, work.chosen.in_flight, enough), sink)

    return teach_here


@dataclass(frozen=True)
class Work:
    """Where a command with a teacher writes, and how far it may go."""

    out: Path
    n: int
    """Tasks at most."""
    who: Role
    chosen: Settings
    budget: Budget
    record: bool = False
    similar: float | None = 0.8
    """Tasks at least so alike are duplicates; None: nobody looks."""

    @property
    def price(self) -> Price | None:
        return price_of(model_name(self.who), self.chosen.prices)

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".d")


def teacher_role(text: str) -> Role:
    """The role of a teacher. Raises `InputError` for what cannot teach."""
    if text.startswith("scripted:"):
        raise InputError("--teacher: scripted agents do not teach", way_out="openai:MODEL@URL, gguf:PATH, local:NAME")
    return role(text, "--teacher")


def model_name(who: Role) -> str:
    """What the model is called in price lists."""
    return who.argument.partition("@")[0]


def budget_of(who: Role, chosen: Settings, tokens: int | None, usd: float | None) -> Budget:
    """The budget. Raises `InputError` for a limit in money on a model without a price."""
    if usd is not None and price_of(model_name(who), chosen.prices) is None:
        way_out = f'set [prices] "{model_name(who)}" = {{input = ..., output = ...}} in synthagent.toml'
        raise InputError("--max-usd: nobody knows what this teacher costs", way_out=way_out)
    return Budget(tokens, usd)


@dataclass(frozen=True)
class School:
    """The teacher, ready to be asked."""

    teacher: Callable[[Ledger, int], Structured]
    """Asks on behalf of whoever owns the ledger, for the job of this number."""
    model: ChatModel
    """The same model, to play with."""
    form: ToolForm


@asynccontextmanager
async def school(work: Work, ledger: Ledger, folder: CourseFolder) -> AsyncIterator[School]:
    """Opens the teacher for as long as it is needed: every call cached, metered, and none begun beyond the budget.

    Raises `ModelFailed` when the endpoint does not answer at all.
    """
    async with AsyncExitStack() as stack:
        guarded = open_model(work.who, work.chosen, guard=lambda model: limited(model, ledger, work.budget))
        model, form = await stack.enter_async_context(guarded)
        kept = recorded(model, folder.record) if work.record else model
        cache = stack.enter_context(closing(CallCache.open(folder.calls)))
        ledger.entry("teacher", "earlier runs").add(cache.paid(), work.price)
        asked = cached(kept, cache, address=work.who.argument)
        shared = metered(asked, ledger, "teacher", price=work.price)
        ladder = Ladder()
        # Once and for all, and on nobody's account: what a persona costs must not depend on who came first.
        await ladder.settled(shared)
        folder.structured = {"rung": ladder.rung, "downgrades": ladder.downgrades}

        def teacher(own: Ledger, job: int) -> Structured:
            mine, chosen = metered(shared, own, "teacher"), work.chosen
            return Structured(
                mine, ladder, temperature=chosen.temperature, max_tokens=chosen.teacher_tokens, about=str(job)
            )

        yield School(teacher, metered(asked, ledger, "solver", price=work.price), form)


async def work_through(
    work: Work,
    jobs: Iterable[tuple[int, J]],
    total: int,
    folder: CourseFolder,
    teach: Teach[J],
) -> BudgetSpent | None:
    """Job after job until n tasks are kept (near-duplicates do not count), or the jobs or the budget end.

    `teach` does the jobs it is given until there are enough. Gives the budget's reason if that was it. Raises
    `RunFolderError` when the endpoint is gone.
    """
    left = (job for job in jobs if job[0] not in folder.done)
    with progress("jobs", total) as tick:
        while True:
            taken = len(folder.done)
            tally = _Tally(folder, tick, kept_in(work, folder))
            try:
                stopped = await teach(left, lambda tally=tally: tally.kept >= work.n, tally.see)  # type: ignore[misc]
            except EndpointDown as error:
                raise RunFolderError(
                    f"{work.who.name}: {error}; what was finished is in {folder.path}: mend it and use --resume"
                ) from error
            if stopped or len(folder.done) == taken or kept_in(work, folder) >= work.n:
                return stopped


def distinct(work: Work, folder: CourseFolder) -> Iterator[Outcome]:
    """The folder's outcomes in order, near-duplicates rejected."""
    return folder.outcomes() if work.similar is None else without_duplicates(folder.outcomes(), work.similar)


def kept_in(work: Work, folder: CourseFolder) -> int:
    """Tasks that would be written now."""
    return sum(len(outcome.tasks) for outcome in distinct(work, folder))


class _Tally:
    """Puts outcomes into the folder and counts them for the progress line."""

    def __init__(self, folder: CourseFolder, tick: Tick, kept: int):
        self.folder, self.tick, self.kept = folder, tick, kept
        self.rejected = self.tokens = 0

    def see(self, outcome: Outcome) -> None:
        self.folder.add(outcome)
        self.kept += len(outcome.tasks)
        self.rejected += not outcome.tasks
        self.tokens += outcome.usage.prompt + outcome.usage.completion
        each = f", {self.tokens // self.kept} tokens a kept task" if self.kept else ""
        last = "" if outcome.tasks else f"; last: {outcome.stage}: {outcome.reason}"
        self.tick(f"({self.kept} kept, {self.rejected} rejected{each}{last})")


def finish(
    work: Work, folder: CourseFolder, ledger: Ledger, begun: float, stopped: BudgetSpent | None, json: bool
) -> None:
    """Writes the task file and prints the figures; exits with 1 when nothing was kept.

    Raises `BudgetSpent` when the budget was the reason to stop.
    """
    # Read twice from the disk rather than held: a hundred thousand personas need not be in memory.
    count = write_tasks(work.out, (t for outcome in _up_to(distinct(work, folder), work.n) for t in outcome.tasks))
    result = {
        "tasks": count,
        "seconds": round(time.monotonic() - begun, 3),
        **figures(_up_to(distinct(work, folder), work.n)),
        "usd": ledger.usd,
        "stages": ledger.rows(),
        "structured_output": folder.structured,
    }
    if json:
        print_json(result)
    else:
        _print(work, result)
    if stopped is not None:
        raise BudgetSpent(f"{stopped}; what was finished is kept: raise the limit and use --resume")
    if not count:
        import typer

        raise typer.Exit(1)


def _up_to(outcomes: Iterator[Outcome], n: int) -> Iterator[Outcome]:
    """Outcomes up to the n-th task; a family stays whole."""
    kept = 0
    for outcome in outcomes:
        yield outcome
        kept += len(outcome.tasks)
        if kept >= n:
            return


def _print(work: Work, result: Mapping[str, Any]) -> None:
    say(
        f"{result['kept']} tasks in {work.out}, {result['rejected']} rejected (all of it in {work.folder}), "
        f"{result['tokens']} tokens, {result['seconds']} s, synthagent {__version__}"
    )
    reasons: Mapping[str, int] = result["rejected_by_reason"]
    if reasons:
        rows = [{"rejected for": name, "count": number} for name, number in reasons.items()]
        print_table(rows, ("rejected for", "count"))
    columns: Sequence[str] = ("role", "stage", "calls", "cached", "failed", "prompt", "completion", "seconds", "usd")
    print_table(result["stages"], columns)
    for downgrade in result["structured_output"].get("downgrades", ()):
        say(f"the endpoint refused a schema, and was asked in a plainer way: {downgrade}")
    if not result["kept"]:
        say("nothing was kept: this teacher does not manage it, see the reasons above; a larger model may")
