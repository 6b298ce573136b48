"""Losses over what the policy wrote. Pure functions of tensors.

Shapes: B conversations of T tokens. `mask` is 1 where the policy wrote; entry t speaks of token t, so the first column
of a log-probability is that of the second token.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Averaging = Literal["token", "sequence"]
"""`token`: over all tokens of the batch (Yu et al., *DAPO*, arXiv 2503.14476, section 3.3). `sequence`: first within a
conversation, then over conversations (Shao et al., arXiv 2402.03300)."""


@dataclass(frozen=True, slots=True)
class GrpoSettings:
    """How a policy is moved. Lyu et al. train with clip 0.2/0.28 and without a KL term."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    """Above `clip_low`: unlikely tokens may become likelier faster (DAPO, section 3.1)."""
    averaging: Averaging = "token"
    kl: float = 0.0
    """Weight of the divergence from the reference model."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it is made of."""

    loss: Tensor
    """A scalar to be minimised."""
    clipped: float
    """Share of tokens whose ratio was clipped."""
    kl: float
    """Estimated divergence from the reference model, per token; 0 without one."""


def token_logprobs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """(B, T, words) and (B, T) -> (B, T - 1): how likely each token but the first was."""
    scaled = logits[:, :-1].float() / temperature
    return torch.log_softmax(scaled, dim=-1).gather(-1, ids[:, 1:, None])[..., 0]


def mean_over(values: Tensor, mask: Tensor, averaging: Averaging) -> Tensor:
    """The mean of what the mask takes, (B, T) each. A conversation without anything counts for nothing."""
    mask = mask.to(values.dtype)
    if averaging == "token":
        return (values * mask).sum() / mask.sum().clamp(min=1)
    lengths = mask.sum(dim=1)
    there = lengths > 0
    means = (values * mask).sum(dim=1) / lengths.clamp(min=1)
    return means[there].mean() if bool(there.any()) else (values * mask).sum()


def sft_loss(logprobs: Tensor, mask: Tensor, averaging: Averaging = "token") -> Tensor:
    """Negative log-likelihood of what the policy wrote: (B, T - 1) of log-probabilities, (B, T) of mask."""
    return -mean_over(logprobs, mask[:, 1:], averaging)


def grpo_loss(
    logprobs: Tensor, old: Tensor, mask: Tensor, advantages: Tensor, settings: GrpoSettings,
    reference: Tensor | None = None,
) -> Loss:  # fmt: skip
    """The clipped surrogate (Schulman et al., *PPO*, arXiv 1707.06347, with group-relative advantages).

    `logprobs` under the policy, `old` under the one that sampled, `reference` under the reference model: (B, T - 1);
    `mask`: (B, T); `advantages`: (B,). The divergence is estimated as r - 1 - log r (Schulman, "Approximating KL
    Divergence", 2020). Raises `ValueError` for a KL weight without a reference.
    """
    if settings.kl and reference is None:
        raise ValueError("a KL weight needs the log-probabilities of a reference model")
    taken = mask[:, 1:]
    ratio = torch.exp(logprobs - old)
    bounded = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    signed = advantages[:, None]
    surrogate = torch.minimum(ratio * signed, bounded * signed)
    divergence = torch.zeros_like(logprobs)
    if reference is not None:
        apart = reference - logprobs
        divergence = torch.exp(apart) - 1 - apart
    per_token = -surrogate + settings.kl * divergence
    with torch.no_grad():
        clipped = mean_over((ratio * signed > bounded * signed).float(), taken, "token")
        kl = mean_over(divergence, taken, "token")
    return Loss(mean_over(per_token, taken, settings.averaging), float(clipped), float(kl))
