"""Which noise levels training looks at, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from facegen.shapes import Times

Predicts = Literal["eps", "v", "x0", "flow", "edm"]

TimeDensity = Callable[[int, Generator], Tensor]
"""Draws (count,) float32 shares of the way from clean to noise, in [0, 1)."""

X0Weight = Callable[[Tensor, Tensor], Tensor]
"""How much an error in x0 counts at alpha (B,), sigma (B,): (B,), times sigma^2 so that it stays finite."""


def uniform(count: int, generator: Generator) -> Times:
    """A `TimeDensity` without preference."""
    return torch.rand(count, generator=generator, device=generator.device)


@dataclass(frozen=True)
class LogitNormal:
    """A `TimeDensity` whose logit is normal; favours the middle noise levels.

    Esser et al. 2024 (Stable Diffusion 3, arXiv:2403.03206, eq. 19).
    """

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, count: int, generator: Generator) -> Times:
        normal = torch.randn(count, generator=generator, device=generator.device)
        return torch.sigmoid(self.mean + self.std * normal)


@dataclass(frozen=True)
class MinSnr:
    """An `X0Weight`, min(SNR, gamma) with SNR = alpha^2 / sigma^2: Hang et al. 2023 (arXiv:2303.09556).

    Written with min(alpha^2, gamma sigma^2) = sigma^2 min(SNR, gamma), which never divides by zero where the
    noise vanishes.
    """

    gamma: float = 5.0

    def __call__(self, alpha: Times, sigma: Times) -> Times:
        return torch.minimum(alpha**2, self.gamma * sigma**2)
