"""Means and proportions with intervals. Pure; every interval over tasks clusters by family (invariant 9)."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    """Values."""
    clusters: int


def clustered(values: Sequence[tuple[str, float]]) -> Interval | None:
    """Mean of (family, value) pairs with a cluster-robust 95 % interval; None for no values.

    The variance of the mean is the sum over families of squared summed residuals, with the G/(G-1) correction, and the
    quantile is Student's with G-1 degrees of freedom (Cameron and Miller, "A Practitioner's Guide to Cluster-Robust
    Inference", 2015). With one family nothing is known about the spread between families: the interval is [-inf, inf].
    """
    if not values:
        return None
    n = len(values)
    mean = sum(value for _, value in values) / n
    residuals: dict[str, float] = defaultdict(float)
    for family, value in values:
        residuals[family] += value - mean
    clusters = len(residuals)
    if clusters < 2:
        return Interval(mean, -math.inf, math.inf, n, clusters)
    variance = clusters / (clusters - 1) * sum(r * r for r in residuals.values()) / n**2
    half = student(0.975, clusters - 1) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half, n, clusters)


def averaged(rows: Iterable[tuple[str, str, float]]) -> Interval | None:
    """Mean over tasks from (family, task, reward) triples, rewards being averaged per task first; None for none."""
    found = _by_task(rows)
    return clustered([(family, found[family, task]) for family, task in sorted(found)])


def paired(before: Iterable[tuple[str, str, float]], after: Iterable[tuple[str, str, float]]) -> Interval | None:
    """Difference after - before over the tasks that both have, from (family, task, reward) triples.

    Rewards are averaged per task first; the interval clusters by family.
    """
    one, two = _by_task(before), _by_task(after)
    shared = sorted(one.keys() & two.keys())
    return clustered([(key[0], two[key] - one[key]) for key in shared])


def detectable(found: Interval | None) -> float | None:
    """The smallest true difference that a comparison of this size and spread finds in four cases of five.

    Found: the two-sided 95 % interval does not hold 0; four of five: a power of 80 %. It is (t + z) standard errors, t
    being the interval's quantile of Student's t and z the 0.8 quantile of the normal distribution (Bloom, "Minimum
    Detectable Effects: A Simple Way to Report the Statistical Power of Experimental Designs", Evaluation Review 19(5),
    1995). None with fewer than two families: nothing is known about the spread. The spread is the one that was
    observed, so differences that are all equal give 0.
    """
    if found is None or found.clusters < 2:
        return None
    t = student(0.975, found.clusters - 1)
    return (t + NormalDist().inv_cdf(0.8)) * (found.high - found.mean) / t


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion, lower end first; (0, 1) when nothing was tried.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927), 209-212. Tries must
    be independent of each other: for one task, not over tasks of a family. Raises `ValueError` for counts or levels
    that are none.
    """
    if not 0 <= successes <= n or not 0 < level < 1:
        raise ValueError(f"no proportion: {successes} of {n} at level {level}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = successes / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt((share * (1 - share) + spread / 4) / n) / (1 + spread)
    # The ends of none and of all are exact; computed, they miss 0 and 1 by a rounding.
    return (max(middle - half, 0.0) if successes else 0.0), (min(middle + half, 1.0) if successes < n else 1.0)


def _by_task(rows: Iterable[tuple[str, str, float]]) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for family, task, reward in rows:
        sums[family, task].append(reward)
    return {key: sum(values) / len(values) for key, values in sums.items()}


def student(p: float, freedom: int) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees of freedom, else Abramowitz and Stegun 26.7.5."""
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) * math.sqrt(2 / (1 - (2 * p - 1) ** 2))
    z = NormalDist().inv_cdf(p)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4
