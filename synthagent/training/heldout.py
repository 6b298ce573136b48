"""Held-out tasks, played by the policy as it is. No torch here."""

from collections.abc import Callable, Mapping, Sequence

from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import prepare
from synthagent.training.collecting import Playing, Try
from synthagent.training.metrics import HeldOut, refused
from synthagent.training.recipe import Checking


async def hold_out(
    sets: Mapping[str, Sequence[Task]], playing: Playing, checking: Checking, seed: int, step: int,
    tell: Callable[[], None] = lambda: None,
) -> list[HeldOut]:  # fmt: skip
    """One line an episode. The seeds are the same at every step, so that steps can be compared in pairs."""
    found: list[HeldOut] = []
    for name, tasks in sets.items():
        chosen = list(tasks)[: checking.tasks]
        jobs = [(prepare(task), sample) for task in chosen for sample in range(checking.n)]
        tries = await playing.play_all(jobs, seed, checking.temperature, tell)
        found += [_line(name, step, stage.task, one) for (stage, _), one in zip(jobs, tries, strict=True)]
    return found


def _line(name: str, step: int, task: Task, one: Try) -> HeldOut:
    score = one.outcome.score
    known = isinstance(score, Scored) and score.counts
    return HeldOut(
        step=step,
        group=name,
        family=task.family,
        task_id=task.id,
        sample=score.sample,
        reward=score.reward if isinstance(score, Scored) and known else None,
        gate=score.gate if isinstance(score, Scored) and known else None,
        subgoals=score.n if isinstance(score, Scored) and known else None,
        interactions=score.i if isinstance(score, Scored) and known else None,
        legal=task.provenance.legal,
        refused=refused(one.outcome.episode),
    )
