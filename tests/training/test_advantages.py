"""Advantages: of what was earned less what the group earned; what has no reward teaches nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.training.advantages import advantages, without_variance

REWARDS = st.lists(st.none() | st.floats(0, 1), max_size=16)


@given(REWARDS)
def test_what_has_no_reward_is_in_no_mean_and_has_no_advantage(rewards):
    found = advantages(rewards)
    assert [one is None for one in found] == [reward is None for reward in rewards]
    known = [reward for reward in rewards if reward is not None]
    assert [one for one in found if one is not None] == advantages(known)


@given(REWARDS)
def test_advantages_of_a_group_add_up_to_nothing_and_keep_its_order(rewards):
    for normalised in (True, False):
        pairs = [
            (r, a) for r, a in zip(rewards, advantages(rewards, normalised=normalised), strict=True) if r is not None
        ]
        assert sum(a for _, a in pairs) == pytest.approx(0, abs=1e-3)
        assert all((one[1] <= two[1] + 1e-6) for one, two in zip(sorted(pairs), sorted(pairs)[1:], strict=False))


def test_by_hand():
    assert advantages([1.0, 0.0, None, 0.5], normalised=False) == [0.5, -0.5, None, 0.0]
    assert advantages([1.0, 0.0, None, 0.5]) == pytest.approx([1.0, -1.0, None, 0.0], abs=1e-4)
    assert advantages([0.7]) == [0.0]
    assert advantages([]) == []


def test_a_group_teaches_nothing_if_all_of_it_earned_the_same():
    assert without_variance([0.5, 0.5, None, 0.5])
    assert without_variance([0.5, None])
    assert without_variance([])
    assert not without_variance([0.5, 0.75])
