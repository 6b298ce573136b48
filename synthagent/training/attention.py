"""Attention that can be taken apart: what packed learning and continuous batching hand through a model.

A model given the implementation `ATTENTION` computes PyTorch's own attention, unless its forward pass is called with
`parts=`: then that decides. Everything else of the model sees one long row of tokens.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from synthagent.errors import InputError

ATTENTION = "synthagent"
"""Name of the implementation."""
WAY_OUT = "serve the model and use openai:MODEL@URL, or train it with verl"

NO_MASK = torch.ones((1, 1, 1, 1), dtype=torch.bool)
"""A mask that is taken as it is, so that none is worked out: `Parts` has its own."""


class Parts(Protocol):
    """One forward pass's attention."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(heads, tokens, size) each -> (tokens, heads, size). `layer`: which of the model's, from 0."""
        ...


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
    scaling: float | None = None, parts: Parts | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """(1, heads, tokens, size) each -> (1, tokens, heads, size)."""
    if parts is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    odd = [name for name in ("sliding_window", "softcap", "s_aux") if kwargs.get(name) is not None]
    if odd:
        raise InputError(f"this model's attention has {', '.join(odd)}, which is not computed here", way_out=WAY_OUT)
    return parts.attend(module.layer_idx, query[0], key[0], value[0], scaling)[None], None


def grouped_attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """(heads, n, size) of n tokens of one conversation, over (1, shared, m, size) -> (n, heads, size).

    Heads that share keys are further questions to the same keys: nothing is repeated. `mask`: (n, m).
    """
    heads, count, size = query.shape
    shared = keys.shape[1]
    each = heads // shared
    asked = query.reshape(1, shared, each * count, size)
    found = scaled_dot_product_attention(asked, keys, values, attn_mask=mask.repeat(each, 1), scale=scale)
    return found.view(heads, count, size).transpose(0, 1)


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
