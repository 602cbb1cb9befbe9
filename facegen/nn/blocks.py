"""Building blocks shared by the denoisers: MLPs, modulation, residual convolution, spatial attention.

Letters: B batch, T tokens, D features, C channels, H/W rows and columns of a feature map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NormKind = Literal["group", "instance"]
ActivationKind = Literal["silu", "relu"]


class GeluMlp(nn.Module):
    """(B, T, D) -> (B, T, D) through one hidden layer of GELUs."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SwiGluMlp(nn.Module):
    """(B, T, D) -> (B, T, D) through a SiLU-gated hidden layer (Shazeer 2020)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        # Two projections: halves of one would be strided, and their gradients concatenated.
        self.gate = nn.Linear(dim, hidden_dim)
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`x * (1 + scale) + shift`, with shift and scale (B, 1, D) broadcast over the tokens of x (B, T, D)."""
    return torch.addcmul(shift, x, 1 + scale)
