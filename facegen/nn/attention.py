"""Multi-head attention over tokens: self, and across to a context that may be masked.

Letters: B batch, T query tokens, L context tokens, D features, N heads, d features a head.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.shapes import Tokens, Visible

Heads = Float[Tensor, "B N _ d"]
FEW_PAIRS = 128 * 128  # of a query and a key: their weights fit into a cache


class SelfAttention(nn.Module):
    """Tokens (B, T, D) attend to each other: (B, T, D).

    `qk_norm` normalises queries and keys per head (RMS, learned scale), which keeps logits bounded
    at high learning rates (Dehghani et al. 2023, ViT-22B). A False in `mask` (B, T) hides a token
    from all; at least one token of every row must be visible.
    """

    is_cross_attention = False  # as diffusers' attention says it

    def __init__(self, dim: int, num_heads: int, *, qk_norm: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.norm = QueryKeyNorm(dim // num_heads) if qk_norm else None
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tokens, mask: Visible | None = None) -> Tokens:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, N, T, d)
        if self.norm is not None:
            q, k = self.norm(q, k)
        attended = _attended(q, k, v, _as_key_mask(mask))
        return self.out(attended.transpose(1, 2).reshape(batch, tokens, dim))


class CrossAttention(nn.Module):
    """Tokens (B, T, D) attend to context (B, L, context_dim): (B, T, D).

    A False in `mask` (B, L) hides a context token; a row with none left gets zeros, not NaN.
    """

    is_cross_attention = True

    def __init__(self, dim: int, context_dim: int, num_heads: int, *, qk_norm: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(context_dim, 2 * dim)
        self.norm = QueryKeyNorm(dim // num_heads) if qk_norm else None
        self.out = nn.Linear(dim, dim, bias=False)  # without bias, so that zeros stay zeros

    def forward(
        self, x: Tokens, context: Float[Tensor, "B L E"], mask: Bool[Tensor, "B L"] | None = None
    ) -> Tokens:
        batch, tokens, dim = x.shape
        head_dim = dim // self.num_heads
        q = self.q(x).view(batch, tokens, self.num_heads, head_dim).transpose(1, 2)  # (B, N, T, d)
        kv = self.kv(context).view(batch, context.shape[1], 2, self.num_heads, head_dim)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, N, L, d)
        if self.norm is not None:
            q, k = self.norm(q, k)
        if mask is None:
            attended = _attended(q, k, v, None)
        else:
            any_visible = mask.any(dim=1, keepdim=True)  # (B, 1)
            # A softmax over nothing is NaN: such rows attend to everything and are then zeroed.
            safe_mask = _as_key_mask(mask | ~any_visible)
            attended = _attended(q, k, v, safe_mask)
            attended = attended * any_visible[:, :, None, None]
        return self.out(attended.transpose(1, 2).reshape(batch, tokens, dim))


class QueryKeyNorm(nn.Module):
    """RMS-normalises queries and keys over each head's features, each with a learned scale."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.query = nn.RMSNorm(head_dim, eps=1e-6)
        self.key = nn.RMSNorm(head_dim, eps=1e-6)

    def forward(self, q: Heads, k: Heads) -> tuple[Heads, Heads]:
        return _normalised(q, self.query), _normalised(k, self.key)


def _attended(q: Heads, k: Heads, v: Heads, mask: Tensor | None) -> Heads:
    """The values that each query sees, weighted; a False in `mask` (B, 1, 1, L) hides a key.

    Where a CPU trains in half precision on few tokens, by products of matrices: torch's own kernel goes
    backward at a third to a sixth of their speed there (docs/log.md).
    """
    trains = torch.is_grad_enabled() and q.requires_grad and q.device.type == "cpu"
    if not trains or v.dtype.itemsize > 2 or q.shape[-2] * k.shape[-2] > FEW_PAIRS:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q * q.shape[-1] ** -0.5 @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v


def _normalised(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    weight = norm.weight.to(x.dtype)  # under autocast: mixed dtypes miss the fused kernel, and torch warns
    return F.rms_norm(x, norm.normalized_shape, weight, norm.eps)


def _as_key_mask(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask[:, None, None, :]  # over heads and queries
