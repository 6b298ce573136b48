"""R = gate * (N + I) / 2, and the hash that says whether two scorings are one."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.schema.scores import Scored, Verdict, Weights
from synthagent.scoring.reward import FORMULAS, formula_of, gate_of, reward_hash, reward_of, share


def verdicts(*held):
    return tuple(Verdict(id=f"c{n}", holds=holds) for n, holds in enumerate(held))


@pytest.mark.parametrize(
    ("forbidden", "gate"), [((), 1), ((False,), 1), ((False, False), 1), ((True,), 0), ((False, True), 0)]
)
def test_the_gate_closes_if_and_only_if_something_forbidden_happened(forbidden, gate):
    assert gate_of(verdicts(*forbidden)) == gate


@pytest.mark.parametrize(("held", "part"), [((True,), 1.0), ((False,), 0.0), ((True, False, False, True), 0.5)])
def test_a_share_counts_what_holds(held, part):
    assert share(verdicts(*held)) == part


def test_the_share_of_nothing_is_no_number():
    assert share(()) is None


@pytest.mark.parametrize(
    ("gate", "n", "i", "reward"),
    [
        (1, 1.0, 1.0, 1.0),
        (1, 0.5, 1.0, 0.75),
        (1, 1.0, 0.0, 0.5),  # required interactions that did not happen cost half
        (1, 1.0, None, 1.0),  # a task that requires none is not halved
        (1, 0.25, None, 0.25),
        (0, 1.0, 1.0, 0.0),
        (0, 1.0, None, 0.0),
    ],
)
def test_the_reward(gate, n, i, reward):
    assert reward_of(gate, n, i) == reward


PARTS = st.floats(0, 1)


@settings(deadline=None)
@given(gate=st.sampled_from([0, 1]), n=PARTS, i=st.none() | PARTS, more=st.floats(0, 1))
def test_a_reward_lies_between_0_and_1_and_never_falls_when_more_is_done(gate, n, i, more):
    reward = reward_of(gate, n, i)
    assert 0 <= reward <= 1
    assert reward_of(gate, max(n, more), i) >= reward
    assert i is None or reward_of(gate, n, max(i, more)) >= reward


# ---- the alternatives, by name


@pytest.mark.parametrize(
    ("gate", "n", "i", "strict", "subgoals"),
    [
        (1, 1.0, 1.0, 1.0, 1.0),
        (1, 1.0, None, 1.0, 1.0),
        (1, 1.0, 0.99, 0.0, 1.0),
        (1, 0.99, 1.0, 0.0, 0.99),
        (1, 0.5, None, 0.0, 0.5),
        (1, 0.0, 1.0, 0.0, 0.0),
        (0, 1.0, 1.0, 0.0, 0.0),
        (0, 1.0, None, 0.0, 0.0),
    ],
)
def test_strict_wants_everything_and_subgoals_looks_at_nothing_else(gate, n, i, strict, subgoals):
    assert formula_of("strict")(gate, n, i) == strict
    assert formula_of("subgoals")(gate, n, i) == subgoals


@pytest.mark.parametrize(
    ("weights", "reward"),
    [((1, 1), 0.5), ((3, 1), 0.375), ((1, 3), 0.625), ((1, 0), 0.25), ((0, 1), 0.75), ((1e308, 1e308), 0.5),
     ((5e-324, 5e-324), 0.5), ((1e308, 5e-324), 0.25)],
)  # fmt: skip
def test_weighted_means_by_the_weights_however_large_or_small(weights, reward):
    subgoals, interactions = weights
    formula = formula_of("weighted", Weights(subgoals=subgoals, interactions=interactions))
    assert formula(1, 0.25, 0.75) == pytest.approx(reward)
    assert formula(1, 0.25, None) == 0.25, "without interactions the sub-goals are everything"
    assert formula(0, 0.25, 0.75) == 0.0


def test_mean_is_the_papers_and_the_default_weights_are_its_equal():
    for n, i in ((0.25, 0.5), (1.0, None), (1 / 3, 2 / 3)):
        assert formula_of("mean")(1, n, i) == formula_of("weighted")(1, n, i) == reward_of(1, n, i)


@pytest.mark.parametrize("name", FORMULAS)
def test_weights_that_weigh_nothing_are_refused_by_the_formula_that_uses_them(name):
    nothing = Weights(subgoals=0, interactions=0)
    if name == "weighted":
        with pytest.raises(ValueError, match="must be above 0"):
            formula_of(name, nothing)
    else:
        assert formula_of(name, nothing)(1, 1.0, 1.0) == 1.0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_is_a_number_that_is_not_negative(weight):
    for part in Weights.model_fields:
        with pytest.raises(ValueError):
            Weights(**{part: weight})


WEIGHTS = st.builds(Weights, subgoals=st.floats(0, 1e308), interactions=st.floats(0, 1e308)).filter(
    lambda w: w.subgoals or w.interactions
)


@settings(deadline=None)
@given(st.sampled_from(list(FORMULAS)), WEIGHTS, st.sampled_from([0, 1]), PARTS, st.none() | PARTS, PARTS)
def test_every_formula_is_pure_bounded_and_monotone(name, weights, gate, n, i, more):
    formula = formula_of(name, weights)
    reward = formula(gate, n, i)
    assert 0 <= reward <= 1
    assert reward == formula_of(name, weights)(gate, n, i)
    assert formula(gate, max(n, more), i) >= reward
    assert i is None or formula(gate, n, max(i, more)) >= reward
    assert formula(1, n, i) >= reward >= formula(0, n, i) == 0
    assert formula(1, 1.0, None if i is None else 1.0) == 1


def scored(sample=0, task="t", held=((False,), (True, False), (True,)), reward=0.75):
    forbidden, subgoals, interactions = (verdicts(*part) for part in held)
    return Scored(task_id=task, sample=sample, rubric_id="r", reward=reward, gate=1, n=0.5, i=1.0,
                  forbidden=forbidden, subgoals=subgoals, interactions=interactions)  # fmt: skip


@settings(deadline=None)
@given(st.permutations([scored(n, task) for n in range(3) for task in "ab"]))
def test_the_hash_does_not_depend_on_the_order_of_the_scores(scores):
    assert reward_hash(scores) == reward_hash([scored(n, task) for task in "ab" for n in range(3)])


@pytest.mark.parametrize(
    "other",
    [
        {"held": ((True,), (True, False), (True,))},
        {"held": ((False,), (True, True), (True,))},
        {"held": ((False,), (False, True), (True,))},  # as many, but others
        {"held": ((False,), (True, False), (False,))},
        {"reward": 0.7500000000000001},
        {"task": "u"},
        {"sample": 1},
    ],
)
def test_the_hash_changes_with_any_verdict_or_reward(other):
    assert reward_hash([scored()]) != reward_hash([scored(**other)])


def test_the_hash_counts_every_score():
    assert len({reward_hash([scored()] * n) for n in range(3)}) == 3


def test_the_hash_is_that_of_canonical_json():
    rows = b'[["t",0,[["c0",false],["c0",true],["c1",false],["c0",true]],0.75]]'
    assert reward_hash([scored()]) == hashlib.sha256(rows).hexdigest()


def test_proof_is_not_part_of_the_hash():
    proved = scored().model_copy(update={"forbidden": (Verdict(id="c0", holds=False, events=(3,)),)})
    assert reward_hash([proved]) == reward_hash([scored()])
