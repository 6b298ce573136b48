"""Many personas, bounded in flight and in memory, resumable: what is done is not paid for again."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from synthagent.llm.ledger import BudgetSpent, Ledger
from synthagent.synthesis.overlap import NearDuplicates, features
from synthagent.synthesis.teaching import Outcome
from synthagent.workers import Streak, work_off

Sink = Callable[[Outcome], None]
"""Takes each outcome as soon as it is there. What it raises stops the course."""


J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Course(Generic[J]):
    """What is to be done with each job: a persona, or a task to be grown."""

    take: Callable[[J, Ledger], Awaitable[Outcome]]
    """Does one job, its calls entered in a ledger of its own."""
    in_flight: int = 8
    """Jobs under way at once."""
    enough: Callable[[], bool] = lambda: False
    """Asked before each job: whether to stop."""


async def teach(personas: Iterable[J], course: Course[J], sink: Sink) -> BudgetSpent | None:
    """Takes every persona through the stages and hands each outcome to `sink`.

    Gives the reason when the budget stopped it: who was under way then has no outcome, and goes on from the cache when
    the course is resumed. Raises `EndpointDown` when too many in a row fail for lack of an endpoint.
    """
    see = watched(sink)
    spent: list[BudgetSpent] = []

    async def do(job: J) -> None:
        try:
            outcome = await course.take(job, Ledger())
        except BudgetSpent as error:
            spent.append(error)
            return
        see(outcome)

    await work_off(until(personas, lambda: bool(spent) or course.enough()), do, course.in_flight)
    return spent[0] if spent else None


def watched(sink: Sink) -> Sink:
    """The same sink, which raises `EndpointDown` when too many in a row fail for lack of an endpoint."""
    streak = Streak("personas")

    def see(outcome: Outcome) -> None:
        sink(outcome)
        streak.see("; ".join(outcome.details)[:300] if outcome.passing else None)

    return see


def until(jobs: Iterable[J], stop: Callable[[], bool]) -> Iterator[J]:
    """Job after job until it is time to stop."""
    left = iter(jobs)
    # Asked before a job is taken: one that is taken and not done would be missing from the next round.
    while not stop():
        try:
            yield next(left)
        except StopIteration:
            return


def without_duplicates(outcomes: Iterable[Outcome], threshold: float) -> Iterator[Outcome]:
    """Outcomes in order, those whose (first) task comes too near an earlier one turned into rejections."""
    seen = NearDuplicates(threshold)
    for outcome in outcomes:
        if not outcome.tasks:
            yield outcome
            continue
        found = features(outcome.tasks[0])
        near = seen.nearest(found)
        if near is None:
            seen.add(outcome.tasks[0].id, found)
            yield outcome
        else:
            text = f"as task {near[0]}: {near[1]:.2f} of instruction and tools are the same"
            rejected = {"tasks": (), "stage": "screening", "reason": "near duplicate", "details": (text,)}
            yield outcome.model_copy(update=rejected)


def figures(outcomes: Iterable[Outcome]) -> Mapping[str, object]:
    """kept, rejected, rejected_by_reason, tokens, tokens_per_kept_task, compiled_share, repairs."""
    kept = rejected = tokens = tools = compiled = repairs = 0
    reasons: dict[str, int] = {}
    for outcome in outcomes:
        tokens += outcome.usage.prompt + outcome.usage.completion
        tools += outcome.tools
        compiled += outcome.compiled
        repairs += outcome.repairs
        kept += len(outcome.tasks)
        if outcome.tasks:
            continue
        rejected += 1
        name = f"{outcome.stage}: {outcome.reason}"
        reasons[name] = reasons.get(name, 0) + 1
    return {
        "kept": kept,
        "rejected": rejected,
        "rejected_by_reason": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "tokens": tokens,
        "tokens_per_kept_task": round(tokens / kept) if kept else None,
        "compiled_share": round(compiled / tools, 4) if tools else None,
        "repairs": repairs,
    }
