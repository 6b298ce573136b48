"""Passports: how often an agent gets a task right, kept in the task; and the tasks that are neither hard nor easy."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field, ValidationError

from synthagent.errors import InputError
from synthagent.intervals import wilson
from synthagent.schema.record import Record
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Task

Band = Literal["hard", "learnable", "easy", "unknown"]
By = Literal["rate", "mean_reward"]
BANDS: tuple[Band, ...] = get_args(Band)

LEARNABLE = (0.2, 0.85)
"""Pass rates, both ends included, at which tries differ enough to learn from: below is `hard`, above `easy`."""
_ROUNDING = 1e-9
"""What a reward may lack of the threshold: it is a mean of shares."""


class Passport(Record):
    """What one agent made of one task in several tries."""

    task: str
    """The task's id: of a task that was changed since, a passport says nothing."""
    agent: str
    threshold: float
    """The reward from which on a try has passed."""
    n: int = Field(ge=0)
    """Tries with a reward."""
    unscored: int = Field(ge=0)
    """Tries that count for nothing: they failed through no fault of the agent."""
    passed: int = Field(ge=0)
    rate: float | None = Field(ge=0, le=1)
    """passed / n; None without a scored try."""
    low: float = Field(ge=0, le=1)
    """Of the rate's 95 % Wilson interval."""
    high: float = Field(ge=0, le=1)
    mean_reward: float | None = Field(ge=0, le=1)
    band: Band


def passport(task: str, agent: str, scores: Iterable[Score], threshold: float = 1.0) -> Passport:
    """The passport that these tries at the task of this id come to. A failure is never a fail (invariant 4)."""
    rewards: list[float] = []
    unscored = 0
    for score in scores:
        if isinstance(score, Scored) and score.counts:
            rewards.append(score.reward)
        else:
            unscored += 1
    n = len(rewards)
    passed = sum(reward >= threshold - _ROUNDING for reward in rewards)
    rate = passed / n if n else None
    low, high = wilson(passed, n)
    return Passport(
        task=task,
        agent=agent,
        threshold=threshold,
        n=n,
        unscored=unscored,
        passed=passed,
        rate=rate,
        low=low,
        high=high,
        mean_reward=math.fsum(rewards) / n if n else None,
        band=band_of(rate),
    )


def band_of(rate: float | None) -> Band:
    """The band of a pass rate; `unknown` without one."""
    if rate is None:
        return "unknown"
    low, high = LEARNABLE
    return "hard" if rate < low else "easy" if rate > high else "learnable"


def by_band(passports: Iterable[Passport]) -> dict[Band, int]:
    """How many there are in every band, also in those that are empty."""
    counted = Counter(one.band for one in passports)
    return {band: counted[band] for band in BANDS}


def stamped(task: Task, given: Passport) -> Task:
    """The same task, by the same id, with a passport in its provenance; those of other agents stay."""
    passports = {**task.provenance.passports, given.agent: given.model_dump(mode="json")}
    return task.model_copy(update={"provenance": task.provenance.model_copy(update={"passports": passports})})


def passport_of(task: Task, agent: str) -> Passport | None:
    """An agent's passport for this very task; None if there is none. Raises `InputError` for what is no passport."""
    found = task.provenance.passports.get(agent)
    if found is None:
        return None
    try:
        given = Passport.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("provenance.passports", agent, *first["loc"]))
        way_out = "make it anew: synthagent audit passport"
        raise InputError(f"task {task.id}: {place}: {first['msg']}", way_out=way_out) from error
    return given if given.task == task.id else None


# ---- selecting


@dataclass(frozen=True, slots=True)
class Selection:
    """What was kept of a task set."""

    kept: tuple[Task, ...]
    without_passport: int
    """Tasks of the set to which this agent gave none."""


def selected(
    tasks: Sequence[Task], agent: str, band: tuple[float, float], by: By = "rate", *, families: bool = False
) -> Selection:
    """The tasks whose passport lies within the band, both ends included; with `families` also their relatives."""
    passports = {task.id: passport_of(task, agent) for task in tasks}
    inside = [task for task in tasks if _within(passports[task.id], band, by)]
    related = {task.family for task in inside} if families else set()
    chosen = {task.id for task in inside}
    kept = tuple(task for task in tasks if task.id in chosen or task.family in related)
    return Selection(kept, sum(one is None for one in passports.values()))


def _within(one: Passport | None, band: tuple[float, float], by: By) -> bool:
    if one is None:
        return False
    value = one.rate if by == "rate" else one.mean_reward
    return value is not None and band[0] - _ROUNDING <= value <= band[1] + _ROUNDING


def whose(tasks: Iterable[Task], names: Sequence[str] = ()) -> str:
    """The agent whose passports are meant: the first of `names` that gave any or, without names, the only one.

    Raises `InputError` with a way out when there is none, or there are several to choose from.
    """
    given: Mapping[str, None] = {agent: None for task in tasks for agent in task.provenance.passports}
    if not given:
        raise InputError("no task has a passport", way_out="give them some: synthagent audit passport TASKS --agent A")
    known = ", ".join(given)
    if not names:
        if len(given) > 1:
            raise InputError("--agent: there are passports of several agents", way_out=f"choose one of {known}")
        return next(iter(given))
    found = next((name for name in names if name in given), None)
    if found is None:
        raise InputError(f"--agent: '{names[0]}' gave no passport", way_out=f"there are those of {known}")
    return found
