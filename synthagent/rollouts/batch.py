"""Many tasks, bounded in flight and in memory, resumable: what is in `done` is not played again."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from synthagent.errors import Blame, TaskFault
from synthagent.rollouts.group import Casting, Outcome, broken_task, roll
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Score, Unscored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import PLAIN, Scoring
from synthagent.simulation.episode import Stage, prepare
from synthagent.workers import Streak, work_off

Sink = Callable[[Outcome], None]
"""Takes each outcome as soon as it is there. What it raises stops the batch."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be played."""

    agent: str
    casting: Casting
    limits: Limits
    n: int
    seed: int
    in_flight: int = 8
    """Episodes under way at once."""
    scoring: Scoring = PLAIN


async def roll_batch(
    tasks: Iterable[Task], order: Order, sink: Sink, done: Collection[tuple[str, str, int]] = frozenset()
) -> None:
    """Plays n samples of every task that are not in `done`, keyed (agent, task id, sample), and hands each to `sink`.

    Raises `EndpointDown` after `workers.GIVE_UP_AFTER` failures of infrastructure in a row, and whatever `sink` raises.
    """
    stages, take = Stages(most=max(order.in_flight, 4)), watched(sink)

    async def do(job: tuple[Task, int]) -> None:
        take(await play_one(*job, order, stages))

    await work_off(jobs_of(tasks, order.agent, order.n, done), do, order.in_flight)


def jobs_of(
    tasks: Iterable[Task], agent: str, n: int, done: Collection[tuple[str, str, int]] = frozenset()
) -> Iterator[tuple[Task, int]]:
    """Task and sample of every episode that is not in `done`, the samples of a task one after another."""
    for task in tasks:
        for sample in range(n):
            if (agent, task.id, sample) not in done:
                yield task, sample


def watched(sink: Sink) -> Sink:
    """The same sink, which raises `EndpointDown` when too many outcomes in a row failed for lack of infrastructure."""
    streak, judging = Streak("episodes"), Streak("judge's calls")

    def take(outcome: Outcome) -> None:
        sink(outcome)
        if outcome.score.judge:  # what code decides says nothing of the judge's endpoint
            judging.see(lost(outcome.score))
        else:
            streak.see(lost(outcome.score))

    return take


async def play_one(task: Task, sample: int, order: Order, stages: "Stages") -> Outcome:
    """One episode of a task, whatever comes of it."""
    try:
        stage = stages.of(task)
    except TaskFault as fault:
        return broken_task(task, order.agent, sample, order.seed, fault)
    return await roll(stage, order.casting, order.limits, sample, order.seed, order.agent, order.scoring)


class Stages:
    """The stages in use, at most so many, the oldest dropped first: n samples of a task share one."""

    def __init__(self, most: int):
        self._kept: OrderedDict[str, Stage] = OrderedDict()
        self._most = most

    def of(self, task: Task) -> Stage:
        """The task's stage. Raises `TaskFault`."""
        stage = self._kept.get(task.id)
        if stage is None:
            stage = self._kept[task.id] = prepare(task)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return stage


def lost(score: Score) -> str | None:
    """What infrastructure did to an episode or its judge; None if it has a score, or another is to blame."""
    # A record beyond a judge's window is nobody's outage: the next one may fit.
    if not isinstance(score, Unscored) or score.reason in ("bug", "model:context_length"):
        return None
    # A simulator or judge whose model does not answer has failed, but it is the endpoint that is gone.
    if score.blame is not Blame.INFRASTRUCTURE and not score.reason.startswith("model:"):
        return None
    return f"{score.reason}: {score.detail[:300]}"
