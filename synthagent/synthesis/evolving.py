"""The flywheel: a task is grown into branches, verified, and kept where a strong model gets through it.

Source: AgenticQwen (arXiv 2604.21590): start from what the current policy does not do well, and keep only what a strong
model solves along the intended branch, since what nobody solves may be wrong rather than hard.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from synthagent.schema.messages import Usage
from synthagent.schema.record import dump
from synthagent.schema.tasks import Task
from synthagent.synthesis.branching import NoBranch, grow
from synthagent.synthesis.teaching import Desk, Outcome, Refused, settled, verify

Solves = Callable[[Task], Awaitable[bool]]
"""Whether a strong model earns the whole reward, in one of its tries: then it went along the intended branch."""


async def evolved(desk: Desk, index: int, task: Task, solves: Solves | None, spent: Callable[[], Usage]) -> Outcome:
    """The branches of a task, or why there are none."""
    return await settled(desk, index, task.id, _grown(desk, index, task, solves), spent)


async def _grown(desk: Desk, index: int, task: Task, solves: Solves | None) -> Sequence[Task]:
    try:
        grown = await grow(desk.teacher, task, rounds=desk.plan.rounds, sample=desk.seed)
    except NoBranch as error:
        raise Refused("branch", "no branch holds", [str(error)]) from error
    desk.progress["repairs"] = grown.rounds
    desk.keep(index, "branch", [dump(branch) for branch in grown.tasks])
    await verify(grown.tasks)
    screening = {"schema": "passed", **dict.fromkeys(("leak", "solvable", "necessity", "red_team"), "passed")}
    found = []
    for branch in grown.tasks:
        if solves is None or await solves(branch):
            own = {**screening, "solved": "passed"} if solves else screening
            found.append(
                branch.model_copy(update={"provenance": branch.provenance.model_copy(update={"screening": own})})
            )
    # The illegal ones are twins of the legal one: without it they only teach to refuse.
    if not found or not found[0].provenance.legal:
        raise Refused("solving", "not solved", ["the solver does not get through the legal branch"])
    if len(found) == 1:
        raise Refused("solving", "not solved", ["the solver gets through neither illegal branch"])
    return found


def worth_growing(
    tasks: Iterable[Task], rewards: Mapping[str, float], low: float, high: float, *, failed: bool
) -> Iterable[Task]:
    """Tasks whose mean reward lies in the band, and with `failed` also those below it; unplayed ones are left out."""
    for task in tasks:
        mean = rewards.get(task.id)
        if mean is not None and mean <= high and (mean >= low or failed):
            yield task
