"""Figures of diversity on sets whose diversity is known."""

import math

import pytest

from synthagent.audit.diversity import DIMENSIONS, distinct_n, nearest, tool_sequences, vendi


def test_the_same_text_over_and_over_is_worth_one():
    assert vendi(["open the door"] * 50) == pytest.approx(1.0, abs=1e-6)


def test_texts_that_share_nothing_are_worth_their_number():
    texts = [f"{chr(97 + n)}x{n} {chr(97 + n)}y{n}" for n in range(20)]
    assert vendi(texts) == pytest.approx(20, rel=0.15)


def test_two_halves_are_worth_two():
    assert vendi(["alpha beta gamma"] * 30 + ["delta epsilon zeta"] * 30) == pytest.approx(2.0, rel=0.05)


def test_many_texts_cost_no_more_than_the_kernel_has_dimensions():
    texts = [f"word{n} word{n + 1} word{n * 7}" for n in range(3000)]
    assert 50 < vendi(texts) <= DIMENSIONS


def test_texts_without_words_are_all_alike():
    assert vendi(["", "!"]) == 1.0


def test_distinct_n_counts_runs_of_words(many_tasks):
    found = distinct_n(many_tasks)
    assert 0 < found["1"] < found["2"] < found["3"] <= 1
    assert distinct_n(many_tasks[:1])["1"] <= 1.0


def test_tool_sequences_are_counted(many_tasks):
    found = tool_sequences(many_tasks)
    assert found["distinct"] > 50
    assert math.isclose(tool_sequences(many_tasks[:1])["commonest_share"], 1.0)


def test_twins_are_no_neighbours_and_copies_are(many):
    families = [made.tasks for made in many if len(made.tasks) > 1][:5]
    tasks = [task for family in families for task in family]
    assert nearest(tasks)["close"] == 0.0
    copy = [task.model_copy(update={"family": "other"}) for task in families[0]]
    found = nearest([*tasks, *copy])
    assert found["close"] == round(2 * len(copy) / (len(tasks) + len(copy)), 4)
    assert found["pairs"][0] == {"one": families[0][0].family, "two": "other", "similarity": 1.0}
