"""What every sampler walks on: a denoiser, noise levels and the noise of its steps.

Levels are computed in float64 before the first network call. A sampler starts at the noisiest timestep, and
its last step goes to alpha = 1, sigma = 0, where x_t is x0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.paths import CLEAN, Level, Path
from facegen.errors import UsageError
from facegen.shapes import States
from facegen.types import SamplerStep

KARRAS_RANGE = (0.002, 80.0)  # of sigma / alpha

StepNoise = Callable[[int, Tensor], Tensor]
"""Standard normal noise like the state (B, *S) for step `index` of a stochastic sampler."""


def fresh_noise(index: int, x: States) -> States:
    """A `StepNoise` from torch's own generator."""
    return torch.randn_like(x)


@runtime_checkable
class Sampler(Protocol):
    """Walks from noise (B, *S) to a sample; every consumer reads the same steps."""

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        """Walk from standard normal `noise` to a sample; the last step's x0 is the sample."""
        ...


MakeSampler = Callable[[BoundDenoiser, int], Sampler]
"""Makes the sampler that walks with a denoiser in so many steps."""

Spacing = Callable[[Path, int], list[float]]
"""Gives the timesteps that so many steps begin at, from noisy to clean."""


def trailing(path: Path, steps: int) -> list[float]:
    """Evenly spaced from the noisiest timestep on: T (1 - i / steps), less 1 if discrete.

    Lin et al. 2024 (arXiv:2305.08891, table 2): always begins where training's noise is strongest.

    Raises:
        UsageError: more steps than a discrete process has timesteps.
    """
    _check(path, steps)
    total = path.num_timesteps
    if path.is_discrete:
        return [float(round(total - i * total / steps) - 1) for i in range(steps)]
    return [total * (1 - i / steps) for i in range(steps)]


def leading(path: Path, steps: int) -> list[float]:
    """Multiples of T // steps down to 0, as in the DDIM paper; does not begin at the noisiest timestep.

    Raises:
        UsageError: a continuous path, or more steps than a discrete process has timesteps.
    """
    _check(path, steps)
    if not path.is_discrete:
        raise UsageError(
            "Spacing 'leading' needs a discrete process: from flow's timestep 0 there is nowhere to go.",
            hint="Use spacing 'trailing', the default.",
        )
    return [float(i * (path.num_timesteps // steps)) for i in reversed(range(steps))]


def karras(path: Path, steps: int) -> list[float]:
    """Even in (sigma / alpha)^(1/7) between 80 and 0.002, or what the path has of that.

    Karras et al. 2022 (arXiv:2206.00364, eq. 5 and table 1). Timesteps lie between whole ones.
    """
    _check(path, steps)
    grid = torch.linspace(0, path.last_timestep, 10_001, dtype=torch.float64)
    alphas, sigmas = path.alpha_sigma(grid)
    usable = (alphas > 0) & (sigmas > 0)
    log_ratios = torch.log(sigmas[usable] / alphas[usable])
    low, high = (float(ratio) ** (1 / 7) for ratio in log_ratios[[0, -1]].exp().clamp(*KARRAS_RANGE))
    wanted = 7 * torch.linspace(high, low, steps, dtype=torch.float64).log()
    timesteps = np.interp(wanted.numpy(), log_ratios.numpy(), grid[usable].numpy())
    return [float(timestep) for timestep in timesteps]


def at(*timesteps: float) -> Spacing:
    """Exactly these timesteps, from noisy to clean.

    Raises:
        UsageError: they do not fall, or are not as many as the steps.
    """

    def given(path: Path, steps: int) -> list[float]:
        falling = all(here > there for here, there in pairwise(timesteps))
        within = timesteps[-1] >= 0 and 0 < timesteps[0] <= path.num_timesteps
        if len(timesteps) != steps or not falling or not within:
            raise UsageError(
                f"{steps} steps need as many falling timesteps within 0 and {path.num_timesteps}, not "
                f"{list(timesteps)}."
            )
        return list(timesteps)

    return given


def moves(path: Path, timesteps: list[float], *, finite_snr: bool = False) -> list[tuple[Level, Level]]:
    """Return the steps as (from, to) pairs of levels; the last one goes to the clean sample.

    With `finite_snr`, a walk from pure noise, whose log-SNR is infinite, starts one timestep below it.
    """
    alphas, sigmas = path.alpha_sigma(torch.tensor(timesteps, dtype=torch.float64))
    if finite_snr and alphas[0] == 0:
        return moves(path, [t * (1 - 1 / path.num_timesteps) for t in timesteps])
    levels = [Level(t, float(a), float(s)) for t, a, s in zip(timesteps, alphas, sigmas, strict=True)]
    return list(pairwise([*levels, CLEAN]))


def posterior_std(here: Level, there: Level) -> float:
    """Standard deviation of q(x_s | x_t, x0), s after t: Ho et al. 2020 eq. 7 for any alpha and sigma.

    Kingma et al. 2021 (arXiv:2107.00630, appendix A) give the general form used here.
    """
    return (step_variance(here, there) ** 0.5) * there.sigma / here.sigma


def step_variance(here: Level, there: Level) -> float:
    """Variance of q(x_t | x_s): sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2; beta_t when s = t - 1."""
    return max(here.sigma**2 - (here.alpha / there.alpha * there.sigma) ** 2, 0.0)


def trapezoid_helps(time: float, next_time: float) -> bool:
    """Whether averaging the slopes at both ends beats the slope at the start alone.

    At high noise the slope is 1 - c / time^2; integrated from a down to b, the trapezoid's error exceeds
    Euler's where a > 4 b. The cosine schedule's first step goes from sigma / alpha = 20,000 to about 25.
    """
    return next_time < 1 or time <= 4 * next_time


def _check(path: Path, steps: int) -> None:
    if steps < 1:
        raise UsageError(f"A sampler needs at least 1 step, not {steps}.")
    if path.is_discrete and steps > path.num_timesteps:
        raise UsageError(
            f"{steps} steps are more than the {path.num_timesteps} timesteps this model was trained on.",
            hint=f"Use --steps {path.num_timesteps} or fewer.",
        )
