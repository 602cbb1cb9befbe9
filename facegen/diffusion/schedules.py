"""Variance schedules of discrete processes, as tables of betas; float64, on the host."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["linear", "scaled_linear", "squared_cosine"]
MAX_BETA = 0.999  # keeps the last step of the cosine schedule off a division by zero, as in the paper


def betas_of(schedule: Schedule, count: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Variances beta_t (`count`,) float64 of a discrete diffusion process.

    linear: Ho et al. 2020 (arXiv:2006.11239). scaled_linear: linear in sqrt(beta), Rombach et al.
    2022 (arXiv:2112.10752). squared_cosine: Nichol and Dhariwal 2021 (arXiv:2102.09672, eq. 17).
    """
    if schedule == "linear":
        return torch.linspace(start, end, count, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2

    def cosine(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [cosine((i + 1) / count) / cosine(i / count) for i in range(count)]
    return torch.tensor([min(1 - ratio, MAX_BETA) for ratio in ratios], dtype=torch.float64)
