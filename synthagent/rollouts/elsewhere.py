"""Episodes played and scored in other processes: what goes there and what comes back, as bytes."""

from collections.abc import Iterable, Iterator
from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter

from synthagent.engines.dispatch import Job
from synthagent.errors import Blame, TaskFault
from synthagent.rollouts.batch import Order, Stages, play_one
from synthagent.rollouts.group import Outcome, broken_task, failed
from synthagent.schema.episodes import Episode, Failure
from synthagent.schema.record import Json, Record, dump
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import Scoring, again, judged

_SCORE: TypeAdapter[Score] = TypeAdapter(Annotated[Score, Field(discriminator="kind")])


def episode_jobs(wanted: Iterable[tuple[Task, int]]) -> Iterator[Job]:
    """Task and sample as jobs; the samples of a task are a group."""
    text, of = b"", ""
    for number, (task, sample) in enumerate(wanted):
        if task.id != of:
            text, of = orjson.dumps(dump(task)), task.id
        yield Job(number, task.id, b"%d\n%b" % (sample, text))


def wanted_in(payload: bytes) -> tuple[Task, int]:
    """What `episode_jobs` wrote. Raises `ValueError` for anything else."""
    sample, _, text = payload.partition(b"\n")
    return Task.model_validate_json(text), int(sample)


class Tasks:
    """Tasks by their bytes: n samples of one are read once."""

    def __init__(self, most: int):
        self._kept: dict[bytes, Task] = {}
        self._most = most

    def of(self, text: bytes) -> Task:
        """The task. Raises `ValueError` for what is none."""
        task = self._kept.get(text)
        if task is None:
            if len(self._kept) >= self._most:
                self._kept.clear()
            task = self._kept[text] = Task.model_validate_json(text)
        return task


class Players:
    """Plays episodes in a worker."""

    def __init__(self, order: Order):
        self._order = order
        self._stages, self._tasks = Stages(most=max(order.in_flight, 4)), Tasks(most=max(order.in_flight, 4))

    async def do(self, payload: bytes) -> bytes:
        """The outcome of one job. Whatever happens in an episode is an outcome."""
        sample, _, text = payload.partition(b"\n")
        outcome = await play_one(self._tasks.of(text), int(sample), self._order, self._stages)
        return orjson.dumps({"episode": _whole(outcome.episode), "score": _whole(outcome.score)})


def outcome_in(data: bytes) -> Outcome:
    """What a player gave. Raises `ValueError` for what is no outcome."""
    found = orjson.loads(data)
    return Outcome(Episode.model_validate(found["episode"]), _SCORE.validate_python(found["score"]))


def nobody(task: Task, agent: str, sample: int, seed: int, why: str) -> Outcome:
    """The outcome of an episode that no worker survived: infrastructure, never a reward."""
    failure = Failure(blame=Blame.INFRASTRUCTURE, reason="worker_lost", detail=why)
    return failed(task, agent, None, sample, seed, failure, None)


def score_job(number: int, task: Task, episode: Episode, before: Score | None) -> Job:
    """An episode to be scored again. `before`: its score so far, whose verdicts may have been paid for."""
    body = {"task": dump(task), "episode": _whole(episode), "before": None if before is None else _whole(before)}
    return Job(number, task.id, orjson.dumps(body))


class Scorers:
    """Scores stored episodes in a worker."""

    def __init__(self, scoring: Scoring, in_flight: int):
        self._scoring, self._stages = scoring, Stages(most=max(in_flight, 4))

    async def do(self, payload: bytes) -> bytes:
        """The score of one job."""
        found = orjson.loads(payload)
        task, episode = Task.model_validate(found["task"]), Episode.model_validate(found["episode"])
        before = None if found["before"] is None else _SCORE.validate_python(found["before"])
        return orjson.dumps(_whole(await rescored(task, episode, self._stages, self._scoring, before)))


async def rescored(task: Task, episode: Episode, stages: Stages, scoring: Scoring, before: Score | None) -> Score:
    """The new score. Without a judge, verdicts that one gave before are taken over: they were paid for."""
    try:
        stage = stages.of(task)
    except TaskFault as fault:
        return broken_task(task, episode.agent, episode.sample, episode.seed, fault).score
    if scoring.judge is None and isinstance(before, Scored) and before.judge:
        return again(stage, episode, before, scoring)
    return await judged(stage, episode, scoring=scoring)


def score_in(data: bytes) -> Score:
    """What a scorer gave. Raises `ValueError` for what is no score."""
    return _SCORE.validate_json(data)


def _whole(record: Record) -> Json:
    # `dump` leaves defaults out, and the kind of an event or a score is one.
    return record.model_dump(mode="json")
