"""Avg@k, pass@k and pass^k from items."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.evaluation.items import Item
from synthagent.evaluation.metrics import difference, figures, pass_at, pass_hat
from synthagent.intervals import clustered

WON = st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def items(*scores: list[float], family: str = "") -> list[Item]:
    """One list of scores an entry, one score a trial."""
    return [
        Item(id=f"e{entry}", trial=trial, score=score, family=family and f"{family}{entry // 2}")
        for entry, tries in enumerate(scores)
        for trial, score in enumerate(tries)
    ]


def test_the_mean_is_over_entries_of_the_mean_over_tries():
    found = figures(items([1, 0], [1, 1], [0, 0]))
    assert (found.n, found.trials, found.mean) == (3, 2, 0.5)
    assert found.pass_at == (0.5, pytest.approx(2 / 3))
    assert found.pass_hat == (0.5, pytest.approx(1 / 3))


def test_the_interval_clusters_by_family_and_entries_without_one_stand_alone():
    alone, together = figures(items([1], [1], [0], [0])), figures(items([1], [1], [0], [0], family="f"))
    expected = clustered([("f0", 1.0), ("f0", 1.0), ("f1", 0.0), ("f1", 0.0)])
    assert (together.low, together.high) == (expected.low, expected.high)
    assert together.high - together.low > alone.high - alone.low


def test_one_family_says_nothing_of_the_spread():
    found = figures([Item(id="a", trial=0, score=1, family="f"), Item(id="b", trial=0, score=0, family="f")])
    assert (found.mean, found.low, found.high) == (0.5, None, None)


def test_a_score_short_of_one_is_no_success_but_counts_in_the_mean():
    found = figures(items([0.5], [1.0]))
    assert (found.mean, found.pass_at, found.pass_hat) == (0.75, (0.5,), (0.5,))


def test_overflows_are_in_the_mean_and_counted_apart():
    found = figures([Item(id="a", trial=0, score=0, overflow=True), Item(id="b", trial=0, score=1)])
    assert (found.mean, found.overflow) == (0.5, 1)


@pytest.mark.parametrize("broken", [[], items([1, 1], [1]), [*items([1]), *items([0])]])
def test_what_is_not_whole_has_no_mean(broken: list[Item]):
    with pytest.raises(ValueError, match=r"no items|tried|twice"):
        figures(broken)


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4), min_size=1, max_size=6))
def test_pass_hat_never_exceeds_the_mean_nor_the_mean_pass_at(scores: list[list[float]]):
    found = figures(items(*scores))
    assert found.pass_at[0] == pytest.approx(found.mean) == pytest.approx(found.pass_hat[0])
    assert list(found.pass_at) == sorted(found.pass_at)
    assert list(found.pass_hat) == sorted(found.pass_hat, reverse=True)
    assert found.pass_hat[-1] <= found.mean + 1e-9
    assert found.mean <= found.pass_at[-1] + 1e-9


@given(WON, st.data())
def test_pass_at_and_pass_hat_are_what_drawing_k_of_the_tries_gives(won: tuple[int, int], data: st.DataObject):
    tries, right = won
    k = data.draw(st.integers(1, tries))
    drawn = list(itertools.combinations([True] * right + [False] * (tries - right), k))
    assert pass_at(tries, right, k) == pytest.approx(sum(map(any, drawn)) / len(drawn))
    assert pass_hat(tries, right, k) == pytest.approx(sum(map(all, drawn)) / len(drawn))


@pytest.mark.parametrize(("tries", "won", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_counts_that_are_none_are_refused(tries: int, won: int, k: int):
    for estimate in (pass_at, pass_hat):
        with pytest.raises(ValueError, match="tries"):
            estimate(tries, won, k)


def test_a_difference_is_paired_by_entry():
    found = difference(items([0, 0], [1, 1], [0, 1]), items([1, 1], [1, 1]))
    assert (found.n, found.families, found.difference) == (2, 2, 0.5)
    assert difference(items([1]), [Item(id="other", trial=0, score=1)]) is None
