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

from synthagent.training.attention import NO_MASK


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in the row things are."""

    prefix: int
    """Tokens of the opening."""
    rows: Tensor
    """(N,) which continuation a token after the opening belongs to."""
    columns: Tensor
    """(N,) its place in it."""
    longest: int
    count: int

    mask: Tensor
    """(longest, prefix + longest): the opening, and one's own past."""

    def attend(
        self,
        layer: int,  # noqa: ARG002 - all layers alike
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float | None,
    ) -> Tensor:
        """As `attention.Parts` has it."""
        fewer = query.shape[0] != key.shape[0]
        first, second, third = (part[None, :, : self.prefix] for part in (query, key, value))
        seen = scaled_dot_product_attention(first, second, third, is_causal=True, scale=scale, enable_gqa=fewer)
        keys, values = self._continued(key), self._continued(value)
        queries = self._apart(query[:, self.prefix :])
        own = scaled_dot_product_attention(queries, keys, values, attn_mask=self.mask, scale=scale, enable_gqa=fewer)
        return torch.cat([seen[0].transpose(0, 1), own[self.rows, :, self.columns]])

    def _apart(self, tokens: Tensor) -> Tensor:
        """(heads, N, size) of all continuations -> (count, heads, longest, size), zeros where one is shorter."""
        heads, _, size = tokens.shape
        shape = (self.count, self.longest, heads, size)
        room = torch.zeros(shape, dtype=tokens.dtype, device=tokens.device)
        return room.index_put((self.rows, self.columns), tokens.transpose(0, 1)).transpose(1, 2)

    def _continued(self, tokens: Tensor) -> Tensor:
        """(heads, tokens, size) -> (count, heads, prefix + longest, size)."""
        opening = tokens[None, :, : self.prefix].expand(self.count, -1, -1, -1)
        return torch.cat([opening, self._apart(tokens[:, self.prefix :])], dim=2)


def layout(prefix: int, lengths: Sequence[int], device: torch.device | str = "cpu") -> Layout:
    """The layout of an opening and continuations of these lengths."""
    rows = torch.cat([torch.full((n,), row) for row, n in enumerate(lengths)])
    columns = torch.cat([torch.arange(n) for n in lengths])
    longest = max(lengths)
    mask = torch.ones((longest, prefix + longest), dtype=torch.bool, device=device).tril(prefix)
    return Layout(prefix, rows.to(device), columns.to(device), longest, len(lengths), mask)


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
    positions = torch.cat([torch.arange(len(prefix), device=device), at.columns + len(prefix)])
    chosen = torch.tensor([bit for one in masks for bit in one], device=device).nonzero()[:, 0]
    if not len(chosen):
        raise ValueError("the policy wrote nothing")
    # A continuation's first token is foretold by the opening's last, any other by the one before it.
    foretold = torch.where(at.columns[chosen] == 0, len(prefix) - 1, len(prefix) + chosen - 1)
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
    return Written(logprobs, entropies, at.rows[chosen])
