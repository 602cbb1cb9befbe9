"""What an interval is held to: its truth, and what it says of data sets drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Ends = tuple[float, float]
WIDTH, IMAGES, REAL = 4, 200, 300


@dataclass(frozen=True)
class Case:
    """An interval by name: its `truth`, and what `draw` says of one data set (both may say several)."""

    draw: Callable[[torch.Generator], dict[str, Ends]]
    truth: Callable[[torch.Generator], dict[str, float]]


def features(count: int, generator: torch.Generator, shift: float = 0.0) -> Tensor:
    """Of a Gaussian of variance 1 in each feature, (count, WIDTH)."""
    return torch.randn(count, WIDTH, generator=generator) + shift


def shifted_kernel(generator: torch.Generator, shift: float) -> float:
    """The true kernel distance (cubic, as KID's) of `features` from those shifted."""
    many = [features(400_000, generator).double() for _ in range(2)]

    def mean(a: float, b: float) -> float:
        return float((((many[0] + a) * (many[1] + b)).sum(1) / WIDTH + 1).pow(3).mean())

    return mean(0, 0) + mean(shift, shift) - 2 * mean(0, shift)
