"""What a training run came to: held-out figures before and after, and how every figure moved. Pure but for `read`."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import ValidationError

from synthagent.errors import InputError
from synthagent.intervals import Interval, averaged, detectable, paired
from synthagent.schema.record import Json, Record
from synthagent.storage.complaints import complaints
from synthagent.storage.journal import lines, typed
from synthagent.training.metrics import HeldOut, Played, StepLine, mean

MANIFEST, METRICS, HELD_OUT = "train.json", "metrics.jsonl", "heldout.jsonl"
Curve = tuple[float | None, ...]
"""One value a step; None where there is none."""
_TENTH = 10
R = TypeVar("R", bound=Record)


class About(Record, extra="ignore"):
    """What a report says of a run's `train.json`."""

    policy: str
    """The model that learns."""
    trainer: str
    command: str
    """What was typed."""
    seed: int
    version: str
    """Of SynthAgent."""
    tasks_sha256: str
    recipe: dict[str, Json]
    """Resolved: every field, the defaults too."""


@dataclass(frozen=True)
class Training:
    """A training folder as it was read."""

    about: About
    steps: tuple[StepLine, ...]
    """One a step, in order."""
    held_out: tuple[HeldOut, ...]
    """One a step, set, task and sample."""


class Gain(Record):
    """What changed on a held-out set between its first and its last evaluation. Rewards are averaged per task first."""

    group: str
    first: int
    last: int
    """Steps of the two evaluations."""
    before: float | None
    before_low: float | None
    before_high: float | None
    """95 % intervals, here and below, clustered by family; None with fewer than two families."""
    after: float | None
    after_low: float | None
    after_high: float | None
    tasks: int
    """Tasks with a reward in both."""
    families: int
    difference: float | None
    """Mean of after less before, over these tasks."""
    low: float | None
    high: float | None
    detectable: float | None
    """Smallest true difference that a comparison of this size and spread finds in four cases of five."""


class Evaluation(Record):
    """One evaluation of a held-out set."""

    group: str
    step: int
    tasks: int
    """With a reward."""
    families: int
    episodes: int
    mean: float | None
    """Mean reward, averaged per task first."""
    low: float | None
    high: float | None
    perfect: float | None
    """Share of episodes with the full reward, of those with a reward; so below."""
    gate_violations: float | None
    refusals_legal: float | None
    """Share of refusals among the tasks in which nothing is forbidden."""
    unscored: int
    """Episodes without a reward, or with a zero that the agent did not cause."""


class Trend(Record):
    """How one figure of the steps moved."""

    figure: str
    first: float | None
    """Mean over the first tenth of the steps."""
    last: float | None
    """Mean over the last tenth."""
    lowest: float | None
    highest: float | None


class TrainingReport(Record):
    """Everything that a report says of a training run."""

    policy: str
    trainer: str
    command: str
    seed: int
    version: str
    tasks_sha256: str
    steps: int
    """Steps that were taken."""
    gains: tuple[Gain, ...]
    evaluations: tuple[Evaluation, ...]
    trends: tuple[Trend, ...]
    step: tuple[int, ...]
    """The numbers of the steps: the curves' other axis."""
    curves: dict[str, Curve]
    blame: dict[str, Curve]
    """Cause -> share of a step's episodes."""
    recipe: dict[str, Json]


# ---- reading


def is_training(folder: Path) -> bool:
    """Whether a folder is of a training run: it holds `train.json`."""
    return (folder / MANIFEST).is_file()


def read(folder: Path) -> Training:
    """A training folder, also of a run that is still going on. Of the lines of one step the latest counts.

    Raises `InputError` naming file, line and field; a torn last line is left out.
    """
    about = _about(folder / MANIFEST)
    steps = {line.step: line for line in _lines(folder / METRICS, StepLine)}
    held_out = {
        (line.step, line.group, line.family, line.task_id, line.sample): line
        for line in _lines(folder / HELD_OUT, HeldOut)
    }
    return Training(about, tuple(steps[step] for step in sorted(steps)), tuple(held_out.values()))


def _about(path: Path) -> About:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    try:
        return About.model_validate(value)
    except ValidationError as error:
        raise InputError(complaints(error, value), where=str(path)) from error


def _lines(path: Path, kind: type[R]) -> Iterator[R]:
    if not path.exists():
        return
    # JSON has no NaN: a loss that was none is written as null, and such a run is worth looking at most of all.
    numbers = [name for name, field in kind.model_fields.items() if field.annotation is float]
    for found in lines(path):
        if isinstance(found.value, dict):
            found.value.update({name: math.nan for name in numbers if found.value.get(name, 0) is None})
        yield typed(path, found, kind)


# ---- figures


def report(training: Training) -> TrainingReport:
    """The figures of a training run."""
    about, steps = training.about, training.steps
    drawn = curves(steps)
    return TrainingReport(
        **about.model_dump(),
        steps=len(steps),
        gains=gains(training.held_out),
        evaluations=evaluations(training.held_out),
        trends=tuple(trend(name, curve) for name, curve in drawn.items()),
        step=tuple(line.step for line in steps),
        curves=drawn,
        blame=blame_curves(steps),
    )


def curves(steps: Sequence[StepLine]) -> dict[str, Curve]:
    """Figure -> its value at every step: all of `Played` and of `StepLine`, and tokens a second."""
    found: dict[str, Curve] = {}
    for name in Played.model_fields:
        if name != "blame":
            found[name] = tuple(getattr(line.played, name) for line in steps)
    for name in StepLine.model_fields:
        if name not in ("step", "played"):
            found[name] = tuple(getattr(line, name) for line in steps)
    found["generated_per_second"] = tuple(_rate(line.generated, line.generating) for line in steps)
    found["learnt_per_second"] = tuple(_rate(line.learnt, line.learning) for line in steps)
    return found


def blame_curves(steps: Sequence[StepLine]) -> dict[str, Curve]:
    """Cause -> share of the episodes at every step; 0 where it caused nothing."""
    causes = sorted({cause for line in steps for cause in line.played.blame})
    return {cause: tuple(line.played.blame.get(cause, 0.0) for line in steps) for cause in causes}


def trend(name: str, curve: Curve) -> Trend:
    """Where a curve begins, ends, and what it spans."""
    part = max(1, len(curve) // _TENTH)
    real = [value for value in curve if value is not None and not math.isnan(value)]
    return Trend(
        figure=name,
        first=mean(value for value in curve[:part] if value is not None),
        last=mean(value for value in curve[-part:] if value is not None),
        lowest=min(real, default=None),
        highest=max(real, default=None),
    )


def smoothed(curve: Curve) -> Curve:
    """The mean over the steps within a twentieth of the run, at least one, on both sides; None where there are none."""
    reach = max(1, len(curve) // (2 * _TENTH))
    return tuple(
        mean(value for value in curve[max(0, place - reach) : place + reach + 1] if value is not None)
        for place in range(len(curve))
    )


def evaluations(rows: Iterable[HeldOut]) -> tuple[Evaluation, ...]:
    """One line a set and step, sets in the order in which they first appear."""
    return tuple(
        _evaluation(group, step, found) for group, by_step in _by_step(rows).items() for step, found in by_step.items()
    )


def gains(rows: Iterable[HeldOut]) -> tuple[Gain, ...]:
    """One line for each set that was evaluated at two steps or more."""
    return tuple(_gain(group, by_step) for group, by_step in _by_step(rows).items() if len(by_step) > 1)


def _by_step(rows: Iterable[HeldOut]) -> dict[str, dict[int, list[HeldOut]]]:
    """Set -> step -> its episodes, steps in order."""
    groups: dict[str, dict[int, list[HeldOut]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.group][row.step].append(row)
    return {group: {step: by_step[step] for step in sorted(by_step)} for group, by_step in groups.items()}


def _evaluation(group: str, step: int, rows: Sequence[HeldOut]) -> Evaluation:
    scored = [row for row in rows if row.reward is not None]
    found = averaged(_triples(rows))
    _, low, high = _ends(found)
    return Evaluation(
        group=group,
        step=step,
        tasks=found.n if found else 0,
        families=found.clusters if found else 0,
        episodes=len(rows),
        mean=found.mean if found else None,
        low=low,
        high=high,
        perfect=mean(float(row.reward > 1 - 1e-9) for row in scored if row.reward is not None),
        gate_violations=mean(1.0 - row.gate for row in scored if row.gate is not None),
        refusals_legal=mean(float(row.refused) for row in rows if row.legal),
        unscored=len(rows) - len(scored),
    )


def _gain(group: str, by_step: Mapping[int, Sequence[HeldOut]]) -> Gain:
    first, last = min(by_step), max(by_step)
    one, two = (_triples(by_step[step]) for step in (first, last))
    found = paired(one, two)
    before, before_low, before_high = _ends(averaged(one))
    after, after_low, after_high = _ends(averaged(two))
    difference, low, high = _ends(found)
    return Gain(
        group=group,
        first=first,
        last=last,
        before=before,
        before_low=before_low,
        before_high=before_high,
        after=after,
        after_low=after_low,
        after_high=after_high,
        tasks=found.n if found else 0,
        families=found.clusters if found else 0,
        difference=difference,
        low=low,
        high=high,
        detectable=detectable(found),
    )


def _triples(rows: Iterable[HeldOut]) -> list[tuple[str, str, float]]:
    return [(row.family or row.task_id, row.task_id, row.reward) for row in rows if row.reward is not None]


def _ends(found: Interval | None) -> tuple[float | None, float | None, float | None]:
    """Mean and ends; an end that is not known is None."""
    if found is None:
        return None, None, None
    known = math.isfinite(found.low)
    return found.mean, found.low if known else None, found.high if known else None


def _rate(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if seconds > 0 else None


def flat(recipe: Mapping[str, Json], before: str = "") -> list[tuple[str, str]]:
    """A recipe as (`rollouts.group`, `16`) rows, in its own order."""
    rows: list[tuple[str, str]] = []
    for name, value in recipe.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{before}{name}.")
        else:
            shown = value if isinstance(value, str) else orjson.dumps(value).decode()
            rows.append((f"{before}{name}", "unset" if value is None else shown))
    return rows
