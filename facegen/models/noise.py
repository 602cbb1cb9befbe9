"""Where the noise of an image comes from: its seed, or a place between two seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class SeedBetween:
    """Noise on the arc from that of seed `first` (position 0) to that of seed `last` (position 1)."""

    first: int
    last: int
    position: float


Seed = int | SeedBetween


def noise_source(seed: Seed, shape: tuple[int, ...]) -> Callable[[], Tensor]:
    """A function of which every call gives the next standard normal noise (*shape,) of `seed`."""
    if isinstance(seed, SeedBetween):
        first, last = (noise_source(each, shape) for each in (seed.first, seed.last))
        return lambda: spherical(first(), last(), seed.position)
    generator = Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator)


def spherical(first: Tensor, last: Tensor, position: float) -> Tensor:
    """The point at `position` in [0, 1] on the great arc from `first` to `last`; exact at both ends.

    Noise in many dimensions lies on a sphere, and the straight line between two draws leaves it: half way its
    length is 0.71 of what a model was trained on (Shoemake 1985; White 2016, arXiv:1609.04468).
    """
    cosine = torch.nn.functional.cosine_similarity(first.flatten(), last.flatten(), dim=0)
    angle = math.acos(max(-1.0, min(1.0, float(cosine))))
    if math.sin(angle) < 1e-6:
        return (1 - position) * first + position * last
    weights = (
        math.sin((1 - position) * angle) / math.sin(angle),
        math.sin(position * angle) / math.sin(angle),
    )
    return weights[0] * first + weights[1] * last
