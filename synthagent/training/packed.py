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
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "synthagent_packed"
"""Name of the attention that a model must be loaded with; without a layout it is PyTorch's own."""


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

    @property
    def mask(self) -> Tensor:
        """(longest, prefix + longest): the opening, and one's own past."""
        shape = (self.longest, self.prefix + self.longest)
        return torch.ones(shape, dtype=torch.bool, device=self.rows.device).tril(self.prefix)


def layout(prefix: int, lengths: Sequence[int]) -> Layout:
    """The layout of an opening and continuations of these lengths."""
    rows = torch.cat([torch.full((n,), row) for row, n in enumerate(lengths)])
    columns = torch.cat([torch.arange(n) for n in lengths])
    return Layout(prefix, rows, columns, max(lengths), len(lengths))


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
    scaling: float | None = None, packing: tuple[Layout, Tensor] | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """(1, heads, tokens, size) each -> (1, tokens, heads, size)."""
    if packing is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    at, mask = packing
    fewer = query.shape[1] != key.shape[1]
    parts = []
    if at.prefix:
        first, second, third = (part[:, :, : at.prefix] for part in (query, key, value))
        seen = scaled_dot_product_attention(first, second, third, is_causal=True, scale=scaling, enable_gqa=fewer)
        parts.append(seen[0])
    keys, values = (_continued(part, at) for part in (key, value))
    queries = _apart(query[0, :, at.prefix :], at)
    seen = scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=scaling, enable_gqa=fewer)
    parts.append(seen[at.rows, :, at.columns].transpose(0, 1))
    return torch.cat(parts, dim=1).transpose(0, 1)[None], None


def _apart(tokens: Tensor, at: Layout) -> Tensor:
    """(heads, N, size) of all continuations -> (continuations, heads, longest, size), zeros where one is shorter."""
    heads, _, size = tokens.shape
    shape = (at.count, at.longest, heads, size)
    room = torch.zeros(shape, dtype=tokens.dtype, device=tokens.device)
    return room.index_put((at.rows, at.columns), tokens.transpose(0, 1)).transpose(1, 2)


def _continued(tokens: Tensor, at: Layout) -> Tensor:
    """(1, heads, tokens, size) -> (continuations, heads, prefix + longest, size)."""
    own = _apart(tokens[0, :, at.prefix :], at)
    return torch.cat([tokens[:, :, : at.prefix].expand(at.count, -1, -1, -1), own], dim=2)


AttentionInterface.register(ATTENTION, _attend)


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
    at = layout(len(prefix), lengths)
    ids = torch.tensor([*prefix, *(token for one in continuations for token in one)])
    positions = torch.cat([torch.arange(len(prefix)), at.columns + len(prefix)])
    chosen = torch.tensor([bit for one in masks for bit in one]).nonzero()[:, 0]
    if not len(chosen):
        raise ValueError("the policy wrote nothing")
    # A continuation's first token is foretold by the opening's last, any other by the one before it.
    foretold = torch.where(at.columns[chosen] == 0, len(prefix) - 1, len(prefix) + chosen - 1)
    device = model.device
    output = model(
        input_ids=ids[None].to(device), position_ids=positions[None].to(device), use_cache=False,
        logits_to_keep=foretold.to(device), packing=(at, at.mask.to(device)),
    )  # fmt: skip
    logits = output.logits[0].float() / temperature
    spread = torch.log_softmax(logits, dim=-1)
    targets = ids[len(prefix) + chosen].to(device)
    logprobs = spread.gather(-1, targets[:, None])[:, 0]
    with torch.no_grad():
        entropies = -(spread.exp() * spread).sum(dim=-1)
    return Written(logprobs, entropies, at.rows[chosen])
