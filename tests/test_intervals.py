"""Means and proportions with their intervals, against hand-computed values, tables and simulation."""

import math
from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.intervals import averaged, clustered, detectable, paired, student, wilson

VALUES = st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 1)), min_size=1, max_size=30)


def near(interval):
    return pytest.approx((interval.mean, interval.low, interval.high), abs=1e-9)


def test_an_interval_computed_by_hand():
    found = clustered([("a", 1.0), ("a", 0.0), ("b", 1.0), ("b", 1.0), ("c", 0.0)])
    # mean 0.6; residuals summed by family: -0.2, 0.8, -0.6; squares sum to 1.04; 3/2 * 1.04 / 25 = 0.0624
    half = 4.302652729911275 * math.sqrt(0.0624)
    assert (found.mean, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))
    assert (found.n, found.clusters) == (5, 3)


def test_families_of_one_give_the_ordinary_interval_of_a_mean():
    values = [0.1, 0.4, 0.4, 0.9, 1.0, 0.0, 0.3]
    found = clustered([(str(number), value) for number, value in enumerate(values)])
    half = 2.446911848791681 * stdev(values) / math.sqrt(7)
    assert (found.mean, found.high - found.mean) == pytest.approx((mean(values), half), rel=1e-4)


def test_nothing_has_no_mean_and_one_family_no_spread():
    assert clustered([]) is None
    found = clustered([("a", 1.0), ("a", 0.0)])
    assert (found.mean, found.low, found.high, found.clusters) == (0.5, -math.inf, math.inf, 1)


@settings(deadline=None)
@given(VALUES, st.integers(2, 5))
def test_trying_each_task_more_often_with_the_same_result_proves_nothing_more(values, times):
    once, often = clustered(values), clustered(values * times)
    assert near(once) == (often.mean, often.low, often.high)
    assert (often.n, often.clusters) == (times * once.n, once.clusters)


@settings(deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter(values, random):
    shuffled = [(f"family-{family}", value) for family, value in values]
    random.shuffle(shuffled)
    one, two = clustered(values), clustered(shuffled)
    assert near(one) == (two.mean, two.low, two.high)


@settings(deadline=None)
@given(VALUES)
def test_the_mean_lies_in_the_middle_of_its_interval(values):
    found = clustered(values)
    assert found.mean == pytest.approx(mean(value for _, value in values))
    assert found.low <= found.mean <= found.high
    if math.isfinite(found.low):
        assert found.high - found.mean == pytest.approx(found.mean - found.low, abs=1e-12)


def coverage(families, each, by_family, tries=600):
    """How often the interval holds the true mean, 0, when families differ as much as tasks within them do."""
    random = Random(11)
    held = 0
    for _ in range(tries):
        values = []
        for family in range(families):
            effect = random.gauss(0, 1)
            values += [
                (f"{family}/{task if not by_family else ''}", effect + random.gauss(0, 1)) for task in range(each)
            ]
        found = clustered(values)
        held += found.low <= 0 <= found.high
    return held / tries


@pytest.mark.parametrize(("families", "each"), [(4, 6), (12, 5), (40, 2)])
def test_the_interval_holds_the_truth_in_about_ninety_five_of_a_hundred_runs(families, each):
    assert 0.925 <= coverage(families, each, by_family=True) <= 0.975


def test_without_clustering_it_would_not():
    assert coverage(12, 5, by_family=False) < 0.85


# Fisher and Yates, Statistical Tables, table III.
TABLE = [
    (0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 5, 2.571), (0.975, 6, 2.447),
    (0.975, 10, 2.228), (0.975, 20, 2.086), (0.975, 30, 2.042), (0.975, 120, 1.980), (0.975, 10**6, 1.960),
    (0.95, 1, 6.314), (0.95, 2, 2.920), (0.95, 5, 2.015), (0.95, 10, 1.812), (0.9, 10, 1.372),
]  # fmt: skip


@pytest.mark.parametrize(("p", "freedom", "quantile"), TABLE)
def test_quantiles_of_students_t_agree_with_the_table(p, freedom, quantile):
    assert student(p, freedom) == pytest.approx(quantile, rel=3e-3)
    assert student(1 - p, freedom) == pytest.approx(-quantile, rel=3e-3)


def test_a_difference_is_taken_task_by_task_over_the_tasks_that_both_have():
    before = [("a", "a1", 0.0), ("a", "a1", 1.0), ("a", "a2", 0.5), ("b", "b1", 0.5), ("c", "c1", 0.0)]
    after = [("a", "a1", 1.0), ("a", "a2", 0.5), ("b", "b1", 1.0), ("b", "b1", 0.0), ("d", "d1", 1.0)]
    found = paired(before, after)
    # a1: 0.5 -> 1; a2: 0.5 -> 0.5; b1: 0.5 -> 0.5; c1 and d1 have no partner
    assert found == clustered([("a", 0.5), ("a", 0.0), ("b", 0.0)])
    assert found.mean == pytest.approx(1 / 6)


def test_what_grew_has_a_positive_difference_and_what_shrank_a_negative_one():
    low = [(f, f, 0.25) for f in "abc"]
    high = [(f, f, 0.75) for f in "abc"]
    assert (paired(low, high).mean, paired(high, low).mean) == (0.5, -0.5)
    same = paired(low, low)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_nothing_shared_is_no_difference():
    assert paired([("a", "a1", 1.0)], [("b", "b1", 0.0)]) is None


def test_a_mean_over_tasks_averages_the_tries_of_each_first():
    rows = [("a", "a1", 0.0), ("a", "a1", 1.0), ("a", "a1", 1.0), ("a", "a2", 0.5), ("b", "b1", 1.0)]
    assert averaged(rows) == clustered([("a", 2 / 3), ("a", 0.5), ("b", 1.0)])
    assert averaged([]) is None


# ---- what can be found


def compared(random, effect, families, each, tries=3):
    """A paired comparison in which families differ in what they gain, and every try is noisy."""
    before, after = [], []
    for family in map(str, range(families)):
        gain = random.gauss(effect, 0.15)
        for task in (f"{family}/{number}" for number in range(each)):
            level = random.random()
            before += [(family, task, level + random.gauss(0, 0.4)) for _ in range(tries)]
            after += [(family, task, level + gain + random.gauss(0, 0.4)) for _ in range(tries)]
    return paired(before, after)


@pytest.mark.parametrize(("families", "each"), [(8, 4), (25, 2)])
def test_the_smallest_detectable_difference_is_found_in_four_cases_of_five(families, each):
    random = Random(5)
    effect = mean(detectable(compared(random, 0.0, families, each)) for _ in range(150))
    found = [compared(random, effect, families, each) for _ in range(400)]
    assert 0.75 <= mean(one.low > 0 for one in found) <= 0.85
    half = [compared(random, effect / 2, families, each) for _ in range(400)]
    assert mean(one.low > 0 for one in half) < 0.4


def test_a_smallest_detectable_difference_computed_by_hand():
    found = paired([(f, f, 0.0) for f in "abc"], [("a", "a", 0.0), ("b", "b", 0.3), ("c", "c", 0.6)])
    # mean 0.3; residuals -0.3, 0, 0.3; variance 3/2 * 0.18 / 9 = 0.03; t with 2 degrees of freedom 4.302653
    assert detectable(found) == pytest.approx((4.302653 + 0.841621) * math.sqrt(0.03), rel=1e-6)


@settings(deadline=None)
@given(VALUES, st.floats(0.1, 10))
def test_what_can_be_detected_lies_beyond_the_interval_and_scales_with_the_spread(values, factor):
    found, larger = clustered(values), clustered([(family, value * factor) for family, value in values])
    if found.clusters < 2:
        assert detectable(found) is None
        return
    assert detectable(found) >= found.high - found.mean
    assert detectable(larger) == pytest.approx(factor * detectable(found), rel=1e-6, abs=1e-9)


def test_of_nothing_and_of_one_family_nobody_knows_what_can_be_found():
    assert detectable(None) is None
    assert detectable(clustered([("a", 1.0), ("a", 0.0)])) is None


# ---- proportions

# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
PROPORTIONS = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("successes", "n", "low", "high"), PROPORTIONS)
def test_intervals_of_proportions_agree_with_the_table(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_an_interval_of_a_proportion_computed_by_hand():
    # z^2 = 3.841459; middle (5 + 1.920729) / 11.841459 = 0.584449; half sqrt(3.841459 * (1.875 + 0.960365)) / 11.841459
    # = 3.300278 / 11.841459 = 0.278706
    assert wilson(5, 8) == pytest.approx((0.584449 - 0.278706, 0.584449 + 0.278706), abs=2e-6)


def test_nothing_tried_leaves_everything_possible():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 41, 1000])
def test_none_and_all_leave_room_on_one_side_only(n):
    z2 = 1.959963984540054**2
    low, high = wilson(0, n)
    assert (low, high) == (0.0, pytest.approx(z2 / (n + z2)))
    assert wilson(n, n) == (pytest.approx(1 - high), 1.0)


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportion_lies_within_its_interval_and_a_lower_level_within_a_higher(counts):
    successes, n = counts
    (low, high), (lower, higher) = wilson(successes, n, 0.8), wilson(successes, n, 0.99)
    assert 0 <= lower <= low <= successes / n <= high <= higher <= 1


@pytest.mark.parametrize(("successes", "n", "level"), [(-1, 3, 0.95), (4, 3, 0.95), (0, -1, 0.95), (1, 2, 1.0)])
def test_what_is_no_proportion_is_refused(successes, n, level):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, n, level)
