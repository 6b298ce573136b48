"""What the policy wrote moves it only as far as the clip allows, and every token counts for what it should."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthagent.training.losses import grpo, weights
from synthagent.training.recipe import Loss

ROWS = torch.tensor([0, 0, 1, 1, 1, 1])
PLAIN = Loss()


def logprobs():
    return torch.tensor([-0.5, -1.0, -0.2, -3.0, -0.1, -2.0], requires_grad=True)


def test_the_gradient_of_the_first_update_is_that_of_the_weighted_likelihood():
    """With the sampling policy still the policy, the surrogate's gradient is the policy gradient."""
    lp, worth = logprobs(), torch.tensor([0.7, -1.2])[ROWS]
    grpo(lp, lp.detach(), worth, PLAIN).loss.sum().backward()
    assert torch.allclose(lp.grad, -worth)


@pytest.mark.parametrize(
    ("advantage", "ahead", "moves"), [(1.0, 0.5, False), (1.0, -0.5, True), (-1.0, -0.5, False), (-1.0, 0.5, True)]
)
def test_beyond_the_clip_nothing_pushes_further(advantage, ahead, moves):
    lp = logprobs()
    found = grpo(lp, lp.detach() - ahead, torch.full((6,), advantage), PLAIN)
    found.loss.sum().backward()
    assert bool(lp.grad.abs().sum() > 0) == moves
    assert bool(found.clipped.all()) != moves


def test_unlikely_tokens_may_rise_further_than_likely_ones_may_fall():
    lp = torch.full((4,), -1.0)
    rising = grpo(lp, lp - math.log(1.25), torch.ones(4), PLAIN)
    falling = grpo(lp, lp - math.log(0.75), -torch.ones(4), PLAIN)
    assert (bool(rising.clipped.any()), bool(falling.clipped.all())) == (False, True)


def test_the_divergence_is_none_at_home_pulls_back_when_away_and_needs_a_reference():
    lp, settings = logprobs(), Loss(kl=0.1)
    assert grpo(lp, lp.detach(), torch.zeros(6), settings, lp.detach()).divergence.sum() == 0.0
    away = grpo(lp, lp.detach(), torch.zeros(6), settings, lp.detach() - 0.5)
    away.loss.sum().backward()
    assert bool((away.divergence > 0).all())
    assert bool((lp.grad > 0).all()), "what became likelier than at the start is pushed down"
    with pytest.raises(ValueError, match="reference"):
        grpo(lp, lp, torch.zeros(6), settings)


def test_by_token_all_count_alike_and_by_sequence_all_episodes_do():
    assert weights(ROWS, "token", 6, 2).tolist() == pytest.approx([1 / 6] * 6)
    assert weights(ROWS, "sequence", 6, 2).tolist() == pytest.approx([1 / 4] * 2 + [1 / 8] * 4)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.sampled_from(["token", "sequence"]), st.data())
def test_the_weights_of_an_update_add_up_to_one_however_it_is_packed(lengths, averaging, data):
    cut = data.draw(st.integers(0, len(lengths)))
    total = 0.0
    for part in (lengths[:cut], lengths[cut:]):
        rows = torch.tensor([row for row, length in enumerate(part) for _ in range(length)], dtype=torch.long)
        total += float(weights(rows, averaging, sum(lengths), len(lengths)).sum())
    assert total == pytest.approx(1.0, abs=1e-5)
