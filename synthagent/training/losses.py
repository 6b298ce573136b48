"""Losses over what the policy wrote. Pure functions of tensors.

Shapes: M tokens that the policy wrote, of any number of episodes, one after another; all arguments are (M,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synthagent.training.recipe import Averaging, Loss


@dataclass(frozen=True, slots=True)
class PerToken:
    """What each token contributes."""

    loss: Tensor
    """To be weighted, summed and minimised."""
    clipped: Tensor
    """Whether its ratio was clipped."""
    divergence: Tensor
    """From the reference model, estimated; 0 without one."""


def grpo(
    logprobs: Tensor, old: Tensor, advantages: Tensor, settings: Loss, reference: Tensor | None = None
) -> PerToken:  # fmt: skip
    """The clipped surrogate (Schulman et al., *PPO*, arXiv 1707.06347, with group-relative advantages).

    `logprobs` under the policy, `old` under the one that sampled, `reference` under the reference model. The divergence
    is estimated as r - 1 - log r (Schulman, "Approximating KL Divergence", 2020). Raises `ValueError` for a KL weight
    without a reference.
    """
    if settings.kl and reference is None:
        raise ValueError("a KL weight needs the log-probabilities of a reference model")
    ratio = torch.exp(logprobs - old)
    bounded = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    surrogate = torch.minimum(ratio * advantages, bounded * advantages)
    divergence = torch.zeros_like(logprobs)
    if reference is not None:
        apart = reference - logprobs
        divergence = torch.exp(apart) - 1 - apart
    clipped = (ratio * advantages > bounded * advantages).detach()
    return PerToken(-surrogate + settings.kl * divergence, clipped, divergence)


def weights(rows: Tensor, averaging: Averaging, tokens: int, episodes: int) -> Tensor:
    """What each token counts for, so that the weights of a whole update add up to 1.

    `rows`: which episode a token belongs to; `tokens`, `episodes`: of the whole update, of which this may be a part.
    """
    if averaging == "token":
        return torch.full(rows.shape, 1 / max(tokens, 1), device=rows.device)
    lengths = torch.bincount(rows).clamp(min=1)
    return 1 / (lengths[rows] * max(episodes, 1))
