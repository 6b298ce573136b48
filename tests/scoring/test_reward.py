"""R = gate * (N + I) / 2, and the hash that says whether two scorings are one."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.schema.scores import Scored, Verdict
from synthagent.scoring.reward import gate_of, reward_hash, reward_of, share


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
