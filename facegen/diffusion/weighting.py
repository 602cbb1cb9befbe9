"""Which noise levels training looks at, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from facegen.shapes import Times

Predicts = Literal["eps", "v", "x0", "flow", "edm"]

TimeDensity = Callable[[Tensor], Tensor]
"""Quantiles: of uniform numbers (B,) in [0, 1) shares (B,) float32 of the way from clean to noise."""

X0Weight = Callable[[Tensor, Tensor], Tensor]
"""How much an error in x0 counts at alpha (B,), sigma (B,): (B,), times sigma^2 so that it stays finite."""


def uniform(chance: Times) -> Times:
    """A `TimeDensity` without preference."""
    return chance


@dataclass(frozen=True)
class LogitNormal:
    """A `TimeDensity` whose logit is normal; favours the middle noise levels.

    Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206, eq. 19).
    """

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, chance: Times) -> Times:
        special: Any = torch.special  # has no stubs
        return torch.sigmoid(self.mean + self.std * special.ndtri(chance))


@dataclass(frozen=True)
class MinSnr:
    """An `X0Weight`, min(SNR, gamma) with SNR = alpha^2 / sigma^2: Hang et al. 2023 (arXiv:2303.09556).

    Written with min(alpha^2, gamma sigma^2) = sigma^2 min(SNR, gamma), which never divides by zero where the
    noise vanishes.
    """

    gamma: float = 5.0

    def __call__(self, alpha: Times, sigma: Times) -> Times:
        return torch.minimum(alpha**2, self.gamma * sigma**2)
