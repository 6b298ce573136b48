"""Only what the policy wrote moves it, and only as far as the clip allows."""

import pytest
import torch

from synthagent.training.losses import GrpoSettings, grpo_loss, mean_over, sft_loss, token_logprobs

MASK = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 1, 1]])


def logits():
    torch.manual_seed(1)
    return torch.randn(2, 5, 11, requires_grad=True)


IDS = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(2))


def test_log_probabilities_are_of_the_next_token():
    values = logits()
    found = token_logprobs(values, IDS)
    assert found.shape == (2, 4)
    assert found[1, 2].item() == pytest.approx(torch.log_softmax(values[1, 2], -1)[IDS[1, 3]].item(), abs=1e-6)


def test_what_the_policy_did_not_write_has_no_gradient():
    for loss_of in (
        lambda lp: sft_loss(lp, MASK),
        lambda lp: grpo_loss(lp, lp.detach() - 0.1, MASK, torch.tensor([1.0, -0.5]), GrpoSettings()).loss,
    ):
        values = logits()
        loss_of(token_logprobs(values, IDS)).backward()
        moved = values.grad.abs().sum(-1) > 0
        assert torch.equal(moved[:, :-1], MASK[:, 1:].bool())
        assert not moved[:, -1].any()


def test_the_gradient_of_the_first_step_is_that_of_the_weighted_likelihood():
    """With the sampling policy still the policy, the surrogate's gradient is the policy gradient."""
    advantages = torch.tensor([0.7, -1.2])
    one, two = logits(), logits()
    lp = token_logprobs(one, IDS)
    grpo_loss(lp, lp.detach(), MASK, advantages, GrpoSettings()).loss.backward()
    mean_over(-advantages[:, None] * token_logprobs(two, IDS), MASK[:, 1:], "token").backward()
    assert torch.allclose(one.grad, two.grad, atol=1e-6)


@pytest.mark.parametrize(
    ("advantage", "ahead", "moves"), [(1.0, 0.5, False), (1.0, -0.5, True), (-1.0, -0.5, False), (-1.0, 0.5, True)]
)
def test_beyond_the_clip_nothing_pushes_further(advantage, ahead, moves):
    values = logits()
    lp = token_logprobs(values, IDS)
    found = grpo_loss(lp, lp.detach() - ahead, MASK, torch.full((2,), advantage), GrpoSettings())
    found.loss.backward()
    assert bool(values.grad.abs().sum() > 0) == moves
    assert (found.clipped == 1.0) != moves


def test_unlikely_tokens_may_rise_further_than_likely_ones_may_fall():
    settings = GrpoSettings(clip_low=0.2, clip_high=0.28)
    lp = torch.full((1, 4), -1.0)
    rising = grpo_loss(lp, lp - torch.log(torch.tensor(1.25)), MASK[:1], torch.tensor([1.0]), settings)
    falling = grpo_loss(lp, lp - torch.log(torch.tensor(0.75)), MASK[:1], torch.tensor([-1.0]), settings)
    assert (rising.clipped, falling.clipped) == (0.0, 1.0)


def test_means_by_token_and_by_conversation_differ_as_they_should():
    values = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    assert mean_over(values, mask, "token").item() == pytest.approx(2 / 6)
    assert mean_over(values, mask, "sequence").item() == pytest.approx(0.5)
    nothing = torch.zeros(2, 4, dtype=torch.long)
    assert mean_over(values, nothing, "token").item() == mean_over(values, nothing, "sequence").item() == 0.0


def test_the_divergence_is_none_at_home_and_needs_a_reference():
    lp = token_logprobs(logits(), IDS)
    settings = GrpoSettings(kl=0.1)
    assert grpo_loss(lp, lp, MASK, torch.zeros(2), settings, lp.detach()).kl == 0.0
    assert grpo_loss(lp, lp, MASK, torch.zeros(2), settings, lp.detach() - 0.5).kl > 0
    with pytest.raises(ValueError, match="reference"):
        grpo_loss(lp, lp, MASK, torch.zeros(2), settings)
