"""Log-probabilities of several conversations with one beginning, which is computed once.

A group's tries share their opening; computed apart, as padded rows, it is paid for in every row. Here the opening and
all continuations are one row: what is not attention does not mind, and attention is taken apart again: the opening
looks at itself, each continuation at the opening and at itself. Same numbers, fewer tokens (compare Juravsky et al.,
*Hydragen*, arXiv 2402.05099).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from synthagent.training.attention import NO_MASK, grouped_attention


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in the row things are: an opening, then the continuations. `attention.Parts` over one row."""

    prefix: int
    lengths: tuple[int, ...]
    masks: tuple[Tensor, ...]
    """(length, prefix + length) a continuation: the opening, and one's own past."""

    def attend(
        self,
        layer: int,  # noqa: ARG002 - all layers alike
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float | None,
    ) -> Tensor:
        """As `attention.Parts` has it.

        Each continuation by itself: to pad them to one length costs more, in zeros that are filled, copied and added
        up, than so many small attentions.
        """
        sizes = [self.prefix, *self.lengths]
        first, *queries = query.split(sizes, dim=1)
        opening, *keys = key.split(sizes, dim=1)
        start, *values = value.split(sizes, dim=1)
        each = query.shape[0] // key.shape[0]
        seen = scaled_dot_product_attention(
            first[None], opening[None], start[None], is_causal=True, scale=scale, enable_gqa=each > 1
        )
        found = [seen[0].transpose(0, 1)]
        for one, own, worth, mask in zip(queries, keys, values, self.masks, strict=True):
            past = torch.cat([opening, own], dim=1)[None], torch.cat([start, worth], dim=1)[None]
            found.append(grouped_attention(one, *past, mask, scale))
        return torch.cat(found)


def layout(prefix: int, lengths: Sequence[int], device: torch.device | str = "cpu") -> Layout:
    """The layout of an opening and continuations of these lengths."""
    masks = (torch.ones((n, prefix + n), dtype=torch.bool, device=device).tril(prefix) for n in lengths)
    return Layout(prefix, tuple(lengths), tuple(masks))


@dataclass(frozen=True, slots=True)
class Written:
    """What a model thinks of the tokens that the policy wrote, all continuations one after another: (M,) each."""

    logprobs: Tensor
    entropies: Tensor
    """Of the distribution that the token was drawn from, in nats; carries no gradient."""
    rows: Tensor
    """Which continuation each belongs to."""


def written(
    model: Any, prefix: Sequence[int], continuations: Sequence[Sequence[int]], masks: Sequence[Sequence[int]],
    temperature: float = 1.0,
) -> Written:  # fmt: skip
    """Log-probabilities of the masked tokens of each continuation. The model must have been given `ATTENTION`.

    `prefix`: at least one token, all of it context. Raises `ValueError` for an empty one, or when nothing is masked.
    """
    if not prefix:
        raise ValueError("there is no opening to continue")
    lengths = [len(one) for one in continuations]
    device = model.device
    at = layout(len(prefix), lengths, device)
    ids = torch.tensor([*prefix, *(token for one in continuations for token in one)], device=device)
    columns = torch.cat([torch.arange(n, device=device) for n in lengths])
    rows = torch.cat([torch.full((n,), row, device=device) for row, n in enumerate(lengths)])
    positions = torch.cat([torch.arange(len(prefix), device=device), columns + len(prefix)])
    chosen = torch.tensor([bit for one in masks for bit in one], device=device).nonzero()[:, 0]
    if not len(chosen):
        raise ValueError("the policy wrote nothing")
    # A continuation's first token is foretold by the opening's last, any other by the one before it.
    foretold = torch.where(columns[chosen] == 0, len(prefix) - 1, len(prefix) + chosen - 1)
    output = model(
        input_ids=ids[None], position_ids=positions[None], attention_mask=NO_MASK, use_cache=False,
        logits_to_keep=foretold, parts=at,
    )  # fmt: skip
    logits = output.logits[0].float() / temperature
    spread = torch.log_softmax(logits, dim=-1)
    targets = ids[len(prefix) + chosen]
    logprobs = spread.gather(-1, targets[:, None])[:, 0]
    with torch.no_grad():
        entropies = -(spread.exp() * spread).sum(dim=-1)
    return Written(logprobs, entropies, rows[chosen])
