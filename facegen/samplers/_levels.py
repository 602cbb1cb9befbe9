"""The noise levels a sampler visits, and the ways it may move between two of them.

Levels are computed in float64 before the first network call. A sampler starts at the noisiest timestep,
where `x_t` is the given noise, and its last step goes to alpha = 1, sigma = 0, where x_t is x0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.protocols import Process
from facegen.types import Prediction


@dataclass(frozen=True)
class Level:
    """One noise level; `x_t = alpha x0 + sigma eps`."""

    timestep: float
    alpha: float
    sigma: float

    def batch(self, x: Tensor) -> Tensor:
        """This level's timestep for every row of `x`, (B,) float32, as a denoiser takes it."""
        return torch.full((len(x),), self.timestep, device=x.device)


CLEAN = Level(timestep=0.0, alpha=1.0, sigma=0.0)


def trailing_timesteps(process: Process, steps: int) -> list[float]:
    """Evenly spaced from the noisiest timestep on: T (1 - i / steps), less 1 if discrete.

    Lin et al. 2024 (arXiv:2305.08891, table 2): always begins where training's noise is strongest.

    Raises:
        UsageError: more steps than a discrete process has timesteps.
    """
    _check(process, steps)
    total = process.num_timesteps
    if process.is_flow:
        return [total * (1 - i / steps) for i in range(steps)]
    return [float(round(total - i * total / steps) - 1) for i in range(steps)]


def leading_timesteps(process: Process, steps: int) -> list[float]:
    """Multiples of T // steps down to 0, as in the DDIM paper; does not begin at the noisiest timestep.

    Raises:
        UsageError: a flow process, or more steps than a discrete process has timesteps.
    """
    _check(process, steps)
    if process.is_flow:
        raise UsageError(
            "Spacing 'leading' needs a discrete process: from flow's timestep 0 there is nowhere to go.",
            hint="Use spacing 'trailing', the default.",
        )
    return [float(i * (process.num_timesteps // steps)) for i in reversed(range(steps))]


def moves(process: Process, timesteps: list[float]) -> list[tuple[Level, Level]]:
    """Return the steps as (from, to) pairs of levels; the last one goes to the clean sample."""
    alphas, sigmas = process.alpha_sigma(torch.tensor(timesteps, dtype=torch.float64))
    levels = [Level(t, float(a), float(s)) for t, a, s in zip(timesteps, alphas, sigmas, strict=True)]
    return list(pairwise([*levels, CLEAN]))


@dataclass(frozen=True)
class OdeView:
    """The probability-flow ODE of a process in coordinates where its paths are straight for exact eps.

    Variance preserving: z = x_t / alpha, time sigma / alpha, dz/dtime = eps (Karras et al. 2022,
    arXiv:2206.00364). Flow: z = x_t, time sigma, dz/dtime = eps - x0; dividing by its alpha, 0 at the
    start, would not do.
    """

    is_flow: bool

    def scale(self, level: Level) -> float:
        return 1.0 if self.is_flow else level.alpha

    def time(self, level: Level) -> float:
        return level.sigma if self.is_flow else level.sigma / level.alpha

    def derivative(self, prediction: Prediction) -> Tensor:
        return prediction.eps - prediction.x0 if self.is_flow else prediction.eps


def posterior_std(here: Level, there: Level) -> float:
    """Standard deviation of q(x_s | x_t, x0), s after t: Ho et al. 2020 eq. 7 for any alpha and sigma.

    Kingma et al. 2021 (arXiv:2107.00630, appendix A) give the general form used here.
    """
    return (step_variance(here, there) ** 0.5) * there.sigma / here.sigma


def step_variance(here: Level, there: Level) -> float:
    """Variance of q(x_t | x_s): sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2; beta_t when s = t - 1."""
    return max(here.sigma**2 - (here.alpha / there.alpha * there.sigma) ** 2, 0.0)


def _check(process: Process, steps: int) -> None:
    if steps < 1:
        raise UsageError(f"A sampler needs at least 1 step, not {steps}.")
    if not process.is_flow and steps > process.num_timesteps:
        raise UsageError(
            f"{steps} steps are more than the {process.num_timesteps} timesteps this model was trained on.",
            hint=f"Use --steps {process.num_timesteps} or fewer.",
        )
