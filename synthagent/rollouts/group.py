"""One task, n scored episodes."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from synthagent.errors import Blame, TaskFault
from synthagent.schema.episodes import Episode, Failure, Limits, Stop
from synthagent.schema.scores import Score, Scored, Unscored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import PLAIN, Scoring, judged
from synthagent.simulation.episode import Cast, Stage, play, prepare

Casting = Callable[[Stage, int], Cast]
"""(stage, sample) -> who plays this episode."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode and what it is worth."""

    episode: Episode
    score: Score


@dataclass(frozen=True, slots=True)
class Group:
    """All tries at one task by one agent."""

    task: Task
    outcomes: tuple[Outcome, ...]

    @property
    def rewards(self) -> tuple[float, ...]:
        """Rewards that say something of the agent: what has none, or a zero that another caused, is not there."""
        scores = [outcome.score for outcome in self.outcomes]
        return tuple(score.reward for score in scores if isinstance(score, Scored) and score.counts)


async def roll(
    stage: Stage, casting: Casting, limits: Limits, sample: int, seed: int, agent: str = "agent",
    scoring: Scoring = PLAIN,
) -> Outcome:  # fmt: skip
    """Plays and scores one episode. A bug of ours becomes a failed episode (infrastructure), never a reward.

    `agent`: what to call it when not even the casting worked.
    """
    cast: Cast | None = None
    try:
        cast = casting(stage, sample)
        played = await play(stage, cast, limits, sample=sample, seed=seed)
    except Exception as error:
        failure = _bug(error)
        return failed(stage.task, cast.agent.name if cast else agent, cast, sample, seed, failure, stage)
    try:
        return Outcome(played.episode, await judged(stage, played.episode, played.final, scoring))
    except Exception as error:  # the episode was paid for, and can be scored again
        return Outcome(played.episode, _no_score(stage.task, sample, _bug(error)))


def _bug(error: Exception) -> Failure:
    detail = "".join(traceback.format_exception(error))[-2000:]
    return Failure(blame=Blame.INFRASTRUCTURE, reason="bug", detail=detail)


def failed(
    task: Task, agent: str, cast: Cast | None, sample: int, seed: int, failure: Failure, stage: Stage | None
) -> Outcome:
    """An episode that could not be played at all."""
    episode = Episode(
        task_id=task.id,
        sample=sample,
        agent=agent,
        user=cast.user.name if cast else "facts",
        protocol=cast.protocol if cast else "text",
        seed=seed,
        stop=Stop.FAILED,
        failure=failure,
        digest=stage.blueprint.digest if stage else "",
    )
    return Outcome(episode, _no_score(task, sample, failure))


def _no_score(task: Task, sample: int, failure: Failure) -> Unscored:
    return Unscored(
        task_id=task.id,
        sample=sample,
        rubric_id=task.rubric.rubric_id,
        blame=failure.blame,
        reason=failure.reason,
        detail=failure.detail,
    )


async def roll_group(task: Task, casting: Casting, limits: Limits, n: int, seed: int) -> Group:
    """n episodes of one task, one after another. Raises `TaskFault` for a task that does not compile."""
    stage = prepare(task)
    return Group(task, tuple([await roll(stage, casting, limits, sample, seed) for sample in range(n)]))


def broken_task(task: Task, agent: str, sample: int, seed: int, fault: TaskFault) -> Outcome:
    """The outcome of a task that does not compile: blame task."""
    failure = Failure(blame=Blame.TASK, reason=fault.reason, detail=str(fault))
    return failed(task, agent, None, sample, seed, failure, None)
