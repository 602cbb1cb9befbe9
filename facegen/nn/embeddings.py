"""Embeddings of time and place.

Letters: B batch, D features, T tokens, h/w rows and columns of a grid.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Real
from torch import Tensor, nn

from facegen.shapes import Vectors


def sinusoidal_embedding(
    position: Real[Tensor, " B"], dim: int, max_period: float = 10000.0, freq_shift: int = 0
) -> Vectors:
    """Cosines then sines of `position` (B,) at `dim / 2` geometric frequencies: (B, dim), float32 at least.

    Vaswani et al. 2017, section 3.5, in the order Ho et al.'s DDPM code uses. `dim` must be even.
    The last frequency is 1 / `max_period` with a `freq_shift` of 1, as that code has it, and above it with 0.
    """
    half = dim // 2
    dtype = torch.promote_types(position.dtype, torch.float32)
    exponents = torch.arange(half, dtype=dtype, device=position.device) / (half - freq_shift)
    angles = position.to(dtype)[:, None] * torch.exp(-math.log(max_period) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def grid_positions(height: int, width: int, dim: int) -> Tensor:
    """Fixed 2-D sin-cos positions (height * width, dim): half the features tell the row, half the column.

    As in MAE (He et al. 2022) and DiT (Peebles & Xie 2023). `dim` must be divisible by 4.
    """
    rows = sinusoidal_embedding(torch.arange(height, dtype=torch.float32), dim // 2)
    columns = sinusoidal_embedding(torch.arange(width, dtype=torch.float32), dim // 2)
    grid = torch.cat(
        [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=2
    )  # (h, w, D)
    return grid.reshape(height * width, dim)


class TimestepEmbedding(nn.Module):
    """Timesteps (B,), floats in [0, 1000], to features (B, dim): sinusoids through a two-layer MLP."""

    def __init__(self, dim: int, num_frequencies: int = 256, freq_shift: int = 0) -> None:
        super().__init__()
        self.num_frequencies, self.freq_shift = num_frequencies, freq_shift
        self.mlp = nn.Sequential(nn.Linear(num_frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, timestep: Real[Tensor, " B"]) -> Vectors:
        return self.mlp(sinusoidal_embedding(timestep, self.num_frequencies, freq_shift=self.freq_shift))
