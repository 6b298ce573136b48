"""How steady a judge is, and how often it says what code knows: the same episodes judged again and again. Pure.

Fleiss' kappa is agreement beyond chance among any number of raters (Fleiss, "Measuring nominal scale agreement among
many raters", 1971); here the raters are the repetitions and the subjects are the criteria of the episodes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import OPERATORS, operator_of
from synthagent.schema.episodes import Episode
from synthagent.schema.record import Json, Record
from synthagent.schema.scores import JudgeMode, Score, Scored
from synthagent.schema.tasks import Criterion, Rubric, Task
from synthagent.scoring.citations import opened
from synthagent.scoring.scorer import Scoring, checked, criteria_of, ruled, score
from synthagent.simulation.episode import Stage

Rating = Literal["met", "not_met", "cannot_tell"]


class Judgment(Record):
    """One repetition on one episode."""

    agent: str
    task_id: str
    sample: int
    draw: int
    """Which repetition, from 0."""
    judge: str
    mode: JudgeMode = "checks"
    blind: tuple[str, ...] = ()
    """Operators whose checks were taken away."""
    ratings: dict[str, Rating] = {}
    """Criterion -> what the judge said; empty when it failed altogether."""
    known: dict[str, bool] = {}
    """Criterion -> what its check says, of those judged that have one."""
    operators: dict[str, str] = {}
    """Criterion -> the outermost operator of its check."""
    score: Annotated[Score, Field(discriminator="kind")]
    """What the episode is worth with these ratings."""
    known_reward: float | None = None
    """What it is worth by code alone; None where code cannot tell."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One episode as it is judged."""

    stage: Stage
    """As the judge's task has it: some of its criteria may have lost their checks."""
    known: Mapping[str, bool]
    """Criterion -> what its check says, for every criterion of the task that has one."""
    reward: float | None
    """By code alone; None where code cannot tell."""
    checks: Mapping[str, str]
    """Criterion -> operator of its check, for every criterion of the task that has one."""


def subject(stage: Stage, episode: Episode, blind: Sequence[str]) -> Subject:
    """An episode to be judged, the checks with one of the operators `blind` taken away."""
    rubric = stage.task.rubric
    checks = {c.id: operator_of(c.check) for c in criteria_of(rubric) if c.check is not None}
    try:
        known = {id_: verdict.holds for id_, verdict in checked(stage, episode).items()}
    except EpisodeFailure:
        known = {}
    worth = score(stage, episode)
    blinded_stage = Stage(blinded(stage.task, blind), stage.blueprint, stage.listener)
    return Subject(blinded_stage, known, worth.reward if isinstance(worth, Scored) else None, checks)


def blinded(task: Task, operators: Sequence[str]) -> Task:
    """The task without its checks that use one of these operators; its id stays that of the episodes."""
    if not operators:
        return task

    def part(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        return tuple(
            c.model_copy(update={"check": None}) if c.check is not None and set(operators) & set(_used(c)) else c
            for c in criteria
        )

    rubric = task.rubric
    fresh = Rubric(
        forbidden=part(rubric.forbidden), subgoals=part(rubric.subgoals), interactions=part(rubric.interactions)
    )
    return task.model_copy(update={"rubric": fresh})


def _used(criterion: Criterion) -> Iterator[str]:
    """Every operator in a criterion's check."""
    waiting: list[Json] = [criterion.check.model_dump(mode="json") if criterion.check else None]
    for value in waiting:  # it grows meanwhile
        if isinstance(value, dict):
            yield from (name for name in value if name in OPERATORS)
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value


async def judgment(one: Subject, episode: Episode, scoring: Scoring, draw: int, *, everything: bool) -> Judgment:
    """One repetition. `everything`: the judge is also asked about what has a check, which decides all the same."""
    task = one.stage.task
    asked = opened(task.rubric, task.brief, all_=everything or scoring.paper(one.stage))
    worth, rulings = await ruled(one.stage, episode, scoring, asked)
    return Judgment(
        agent=episode.agent,
        task_id=episode.task_id,
        sample=episode.sample,
        draw=draw,
        judge=scoring.judge.name if scoring.judge else "",
        mode=scoring.judge.mode if scoring.judge else "checks",
        ratings={id_: ruling.verdict for id_, ruling in rulings.items()},
        known={id_: holds for id_, holds in one.known.items() if id_ in rulings},
        operators={id_: name for id_, name in one.checks.items() if id_ in rulings},
        score=worth,
        known_reward=one.reward,
    )


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What came of repeated judging. Shares are None where there is nothing to count."""

    episodes: int
    judgments: int
    unscored_share: float | None
    """Judgments that gave no reward: the judge failed, or could not tell."""
    flip_rate: float | None
    """Of the pairs of scored judgments of one episode, those with different rewards."""
    self_agreement: float | None
    """Of the pairs of ratings of one criterion of one episode, those that are the same."""
    kappa: float | None
    """Fleiss' kappa over criteria that were rated in every repetition; None also where all ratings are the same."""
    ratings: Mapping[str, int]
    agreement_with_checks: float | None
    """Of the ratings of criteria that have a check, those that say what it says; "cannot tell" does not."""
    agreement_by_operator: Mapping[str, float]
    met_when_false: float | None
    """Of the ratings of criteria that do not hold, those that say "met": what the judge gives away."""
    missed_when_true: float | None
    """Of the ratings of criteria that hold, those that do not say "met"."""
    reward_right: float | None
    """Of the judgments with a reward, those with the reward that code gives."""


def steadiness(found: Iterable[Judgment]) -> Steadiness:
    """The figures of an audit."""
    grouped: dict[tuple[str, str, int], list[Judgment]] = defaultdict(list)
    for one in found:
        grouped[one.agent, one.task_id, one.sample].append(one)
    all_ = [one for group in grouped.values() for one in group]
    rated = [row for group in grouped.values() for row in _rows(group)]
    most = max(map(len, grouped.values()), default=0)
    checked = [
        (rating, one.known[id_], one.operators.get(id_, ""))
        for one in all_
        for id_, rating in one.ratings.items()
        if id_ in one.known
    ]
    agreed = [(rating == ("met" if holds else "not_met"), operator) for rating, holds, operator in checked]
    by_operator: dict[str, list[bool]] = defaultdict(list)
    for right, operator in agreed:
        by_operator[operator].append(right)
    rewards = [(one.score.reward, one.known_reward) for one in all_ if isinstance(one.score, Scored)]
    return Steadiness(
        episodes=len(grouped),
        judgments=len(all_),
        unscored_share=_share([not isinstance(one.score, Scored) for one in all_]),
        flip_rate=_share([flip for group in grouped.values() for flip in _flips(group)]),
        self_agreement=_share([one == two for row in rated for one, two in combinations(row, 2)]),
        kappa=fleiss([row for row in rated if len(row) == most]),
        ratings=dict(sorted(Counter(rating for row in rated for rating in row).items())),
        agreement_with_checks=_share([right for right, _ in agreed]),
        agreement_by_operator={name: sum(some) / len(some) for name, some in sorted(by_operator.items())},
        met_when_false=_share([rating == "met" for rating, holds, _ in checked if not holds]),
        missed_when_true=_share([rating != "met" for rating, holds, _ in checked if holds]),
        reward_right=_share([abs(got - known) < 1e-9 for got, known in rewards if known is not None]),
    )


def fleiss(rows: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa of subjects, each with the same number of ratings.

    None for fewer than two ratings, and where chance alone would agree always. Raises `ValueError` for unequal numbers.
    """
    sizes = {len(row) for row in rows}
    if len(sizes) > 1:
        raise ValueError("every subject needs the same number of ratings")
    if not rows or min(sizes) < 2:
        return None
    number = min(sizes)
    within = sum(_pairs(row) for row in rows) / len(rows)
    totals = Counter(rating for row in rows for rating in row)
    chance = sum((count / (len(rows) * number)) ** 2 for count in totals.values())
    return None if chance > 1 - 1e-12 else (within - chance) / (1 - chance)


def _pairs(row: Sequence[str]) -> float:
    number = len(row)
    return sum(count * (count - 1) for count in Counter(row).values()) / (number * (number - 1))


def _rows(group: Sequence[Judgment]) -> Iterator[list[str]]:
    """The ratings of each criterion of an episode, over the repetitions that gave one."""
    for id_ in dict.fromkeys(id_ for one in group for id_ in one.ratings):
        yield [one.ratings[id_] for one in group if id_ in one.ratings]


def _flips(group: Sequence[Judgment]) -> Iterator[bool]:
    rewards = [one.score.reward for one in group if isinstance(one.score, Scored)]
    for one, two in combinations(rewards, 2):
        yield abs(one - two) > 1e-9


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
