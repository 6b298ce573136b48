"""Many tasks, bounded in flight and in memory, resumable: what is in `done` is not played again."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from synthagent.errors import Blame, SynthAgentError, TaskFault
from synthagent.rollouts.group import Casting, Outcome, broken_task, roll
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Unscored
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Stage, prepare

Sink = Callable[[Outcome], None]
"""Takes each outcome as soon as it is there. What it raises stops the batch."""

GIVE_UP_AFTER = 16
"""Failures of infrastructure in a row after which the batch stops: the endpoint is gone."""


class EndpointDown(SynthAgentError):
    """Too many episodes in a row failed for lack of infrastructure."""


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


async def roll_batch(
    tasks: Iterable[Task], order: Order, sink: Sink, done: Collection[tuple[str, str, int]] = frozenset()
) -> None:
    """Plays n samples of every task that are not in `done`, keyed (agent, task id, sample), and hands each to `sink`.

    Raises `EndpointDown` after `GIVE_UP_AFTER` failures of infrastructure in a row, and whatever `sink` raises.
    """
    jobs = _jobs(tasks, order, done)
    stages = _Stages(most=max(order.in_flight, 4))
    watch = _Watch()

    async def worker() -> None:
        for task, sample in jobs:  # one shared iterator: each job is taken once
            outcome = await _one(task, sample, order, stages)
            sink(outcome)
            watch.see(outcome)
            await anyio.lowlevel.checkpoint()  # scripted episodes never wait: let an interrupt through

    try:
        async with anyio.create_task_group() as group:
            for _ in range(order.in_flight):
                group.start_soon(worker)
    except ExceptionGroup as errors:
        raise _first(errors) from errors


def _jobs(tasks: Iterable[Task], order: Order, done: Collection[tuple[str, str, int]]) -> Iterator[tuple[Task, int]]:
    for task in tasks:
        for sample in range(order.n):
            if (order.agent, task.id, sample) not in done:
                yield task, sample


async def _one(task: Task, sample: int, order: Order, stages: "_Stages") -> Outcome:
    try:
        stage = stages.of(task)
    except TaskFault as fault:
        return broken_task(task, order.agent, sample, order.seed, fault)
    return await roll(stage, order.casting, order.limits, sample, order.seed, order.agent)


class _Stages:
    """The stages in use, the oldest dropped first: n samples of a task share one."""

    def __init__(self, most: int):
        self._kept: OrderedDict[str, Stage] = OrderedDict()
        self._most = most

    def of(self, task: Task) -> Stage:
        stage = self._kept.get(task.id)
        if stage is None:
            stage = self._kept[task.id] = prepare(task)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return stage


class _Watch:
    """Counts failures of infrastructure in a row."""

    def __init__(self) -> None:
        self._row = 0

    def see(self, outcome: Outcome) -> None:
        score = outcome.score
        lost = isinstance(score, Unscored) and score.blame is Blame.INFRASTRUCTURE and score.reason != "bug"
        self._row = self._row + 1 if lost else 0
        if self._row >= GIVE_UP_AFTER and isinstance(score, Unscored):
            raise EndpointDown(f"{self._row} episodes in a row failed ({score.reason}: {score.detail[:300]})")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that stopped the batch: one of ours if there is one."""
    leaves: list[BaseException] = []
    for error in errors.exceptions:
        leaves.append(_first(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((leaf for leaf in leaves if isinstance(leaf, SynthAgentError)), leaves[0])
