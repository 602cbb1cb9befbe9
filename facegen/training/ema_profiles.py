"""Power-function averages of the weights: how past steps weigh in them, and one width made of others.

After Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models" (EDM2,
arXiv:2312.02696): the profile and its update in section 3.1 (equations 2 and 3), averages after the fact in
section 3.2 and appendix C.3 (algorithm 3).

The average of exponent gamma after t updates weighs the weights of update tau by

    p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1),    0 <= tau <= t.

A profile keeps its shape as training goes on. Its relative width, the standard deviation of p divided by t,
is what people choose: 0.10 looks back over about a tenth of training. All of this is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LARGEST_WIDTH = 12**-0.5  # of exponent 0, the plain mean of all steps


@dataclass(frozen=True)
class Profile:
    """The profile of `width` after `updates` updates, the first being 1."""

    width: float
    updates: int

    @property
    def exponent(self) -> float:
        return exponent_of(self.width)


@dataclass(frozen=True)
class Fit:
    """A profile as a sum of others: `coefficients` (N,), which sum to 1.

    `error` is the distance that is left, as a share of the profile's own norm.
    """

    coefficients: np.ndarray
    error: float


def exponent_of(width: float) -> float:
    """gamma >= 0 of a relative width in (0, 12^-0.5]: the inverse of `width_of`.

    Raises:
        ValueError: another width, which no exponent from 0 up has.
    """
    if not 0 < width <= LARGEST_WIDTH:
        raise ValueError(f"width must be above 0 and at most {LARGEST_WIDTH:.4f}, not {width:g}")
    # (gamma + 2)^2 (gamma + 3) = (gamma + 1) / width^2, a cubic whose largest root is the one from 0 up
    inverse = width**-2
    return max(0.0, float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max()))


def width_of(exponent: float) -> float:
    """sigma_rel = (gamma + 1)^(1/2) (gamma + 2)^(-1) (gamma + 3)^(-1/2)."""
    return math.sqrt((exponent + 1) / (exponent + 3)) / (exponent + 2)


def update_weight(update: Tensor, exponent: float) -> Tensor:
    """What the newest weights count for in update t () (from 1): 1 - beta, beta = (1 - 1/t)^(gamma + 1).

    The first update, of weight 1, replaces the random start.
    """
    return -torch.expm1((exponent + 1) * torch.log1p(-1 / update.clamp(min=1)))


def inner_products(rows: Sequence[Profile], columns: Sequence[Profile]) -> np.ndarray:
    """Integrals of p_i p_j (N, M) over all updates (appendix C.3)."""
    times_a, exponents_a = (values[:, None] for values in _arrays(rows))
    times_b, exponents_b = (values[None, :] for values in _arrays(columns))
    shorter = np.minimum(times_a, times_b)
    at_the_end = (exponents_a + 1) * (exponents_b + 1) / (exponents_a + exponents_b + 1) / shorter
    # as shares below 1: times to the power of an exponent would leave float64's range
    return at_the_end * (shorter / times_a) ** (exponents_a + 1) * (shorter / times_b) ** (exponents_b + 1)


def fit_profile(kept: Sequence[Profile], wanted: Profile) -> Fit:
    """`wanted` as the sum of the profiles `kept` that comes nearest to it in least squares (algorithm 3).

    Departs from the paper in that the coefficients sum to 1: where the profile is met badly, the weights keep
    their scale.
    """
    gram = inner_products(kept, kept)
    against = inner_products(kept, [wanted])
    own = inner_products([wanted], [wanted]).item()
    # columns: the free solution, and how it moves with the multiplier that holds the sum
    solved = np.linalg.lstsq(gram, np.hstack([against, np.ones_like(against)]))[0]
    free, along = solved[:, 0], solved[:, 1]
    coefficients = free + along * (1 - free.sum()) / along.sum()
    left = coefficients @ gram @ coefficients - 2 * coefficients @ against[:, 0] + own
    return Fit(coefficients, math.sqrt(max(0.0, float(left)) / own))


def _arrays(profiles: Sequence[Profile]) -> tuple[np.ndarray, np.ndarray]:
    """Updates and exponents (N,)."""
    times = np.array([profile.updates for profile in profiles], dtype=np.float64)
    return times, np.array([profile.exponent for profile in profiles], dtype=np.float64)
