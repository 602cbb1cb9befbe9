"""Variance schedules of discrete processes, as tables of betas; float64, on the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["linear", "scaled_linear", "squared_cosine", "sigmoid"]
MAX_BETA = 0.999  # keeps the last step, to pure noise, off a division by zero, as in the cosine's paper
SIGMOID_REACH = 3.0  # where the sigmoid starts, below zero, and ends


def betas_of(schedule: Schedule, count: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Variances beta_t (`count`,) float64 of a discrete diffusion process.

    linear: Ho et al. 2020 (arXiv:2006.11239). scaled_linear: linear in sqrt(beta), Rombach et al.
    2022 (arXiv:2112.10752). squared_cosine: Nichol and Dhariwal 2021 (arXiv:2102.09672, eq. 17). sigmoid:
    of alpha^2, from -3 to 3, Jabri et al. 2022 (arXiv:2212.11972).
    """
    if schedule == "linear":
        return torch.linspace(start, end, count, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2
    signal = _squared_cosine if schedule == "squared_cosine" else _sigmoid
    return _betas_between(signal, count)


def _betas_between(signal: Callable[[float], float], count: int) -> Tensor:
    """The variances between `count` + 1 even times of alpha^2 = `signal`, a function of t in [0, 1]."""
    ratios = [signal((i + 1) / count) / signal(i / count) for i in range(count)]
    return torch.tensor([min(1 - ratio, MAX_BETA) for ratio in ratios], dtype=torch.float64)


def _squared_cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _sigmoid(t: float) -> float:
    """Up to a factor: falling from t = 0 to nothing at t = 1."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    return sigmoid(SIGMOID_REACH) - sigmoid(SIGMOID_REACH * (2 * t - 1))
