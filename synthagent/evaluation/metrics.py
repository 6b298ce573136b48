"""What the items of a suite come to: Avg@k, pass@k, pass^k. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthagent.evaluation.items import Item
from synthagent.intervals import Interval, averaged, detectable, paired

RIGHT = 1 - 1e-9
"""Scores from here on are a success: pass@k and pass^k know nothing in between."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A suite, summed up."""

    n: int
    """Entries."""
    trials: int
    """Tries at each of them."""
    mean: float
    """Avg@k: the mean over entries of the mean over tries."""
    low: float | None
    """95 % interval, clustered by family; None when there are fewer than two families."""
    high: float | None
    pass_at: tuple[float, ...]
    """pass@1, ..., pass@k: at least one of so many tries succeeds."""
    pass_hat: tuple[float, ...]
    """pass^1, ..., pass^k: all of so many tries succeed."""
    overflow: int
    """Tries that went beyond the model's window: failures of the agent, and in the mean."""


def figures(items: Sequence[Item]) -> Figures:
    """Sums up every try at every entry of a suite.

    Raises `ValueError` for no items, for entries that were not tried equally often, and for a try that is there twice:
    a mean over what happens to be there is no measure.
    """
    tries: dict[str, dict[int, float]] = defaultdict(dict)
    for item in items:
        if item.trial in tries[item.id]:
            raise ValueError(f"entry {item.id} has trial {item.trial} twice")
        tries[item.id][item.trial] = item.score
    counts = {len(scores) for scores in tries.values()}
    if len(counts) != 1:
        raise ValueError(f"entries were tried {sorted(counts)} times" if counts else "no items")
    [trials] = counts
    interval = averaged(triples(items))
    assert interval is not None
    wins = [sum(score >= RIGHT for score in scores.values()) for scores in tries.values()]
    return Figures(
        n=len(tries),
        trials=trials,
        mean=interval.mean,
        low=_finite(interval.low),
        high=_finite(interval.high),
        pass_at=tuple(_mean(pass_at(trials, won, k) for won in wins) for k in range(1, trials + 1)),
        pass_hat=tuple(_mean(pass_hat(trials, won, k) for won in wins) for k in range(1, trials + 1)),
        overflow=sum(item.overflow for item in items),
    )


def pass_at(tries: int, won: int, k: int) -> float:
    """Unbiased estimate of the probability that at least one of k tries succeeds, from `won` of `tries`.

    Chen et al., "Evaluating Large Language Models Trained on Code" (2021), equation 1. Raises `ValueError` unless
    0 <= won <= tries and 1 <= k <= tries.
    """
    _check(tries, won, k)
    return 1.0 - math.comb(tries - won, k) / math.comb(tries, k)


def pass_hat(tries: int, won: int, k: int) -> float:
    """Unbiased estimate of the probability that all of k tries succeed, from `won` of `tries`.

    Yao et al., "tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains" (2024), section 3. Raises
    as `pass_at` does.
    """
    _check(tries, won, k)
    return math.comb(won, k) / math.comb(tries, k)


def triples(items: Iterable[Item]) -> list[tuple[str, str, float]]:
    """(family, entry, score), as `intervals` takes them. An entry without a family stands alone."""
    return [(item.family or item.id, item.id, item.score) for item in items]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs on the entries that both have."""

    n: int
    families: int
    difference: float
    """The second less the first, averaged per entry first."""
    low: float | None
    high: float | None
    detectable: float | None
    """See `intervals.detectable`."""


def difference(before: Iterable[Item], after: Iterable[Item]) -> Difference | None:
    """Paired by entry, clustered by family; None when they share no entry."""
    found: Interval | None = paired(triples(before), triples(after))
    if found is None:
        return None
    return Difference(found.n, found.clusters, found.mean, _finite(found.low), _finite(found.high), detectable(found))


def _check(tries: int, won: int, k: int) -> None:
    if not (0 <= won <= tries and 1 <= k <= tries):
        raise ValueError(f"{won} of {tries} tries, k = {k}")


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
