"""Heun's method on the probability-flow ODE: second order, two network calls a step, deterministic.

Karras et al. 2022 (arXiv:2206.00364, algorithm 1); N steps are 2N - 1 calls, as the step to the clean
sample is Euler's. Equal to diffusers' HeunDiscreteScheduler with trailing spacing but for the first step of
the cosine schedule, see `_trapezoid_helps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.protocols import BoundDenoiser, Process, StepNoise
from facegen.samplers._levels import OdeView, moves, trailing_timesteps
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Second-order ODE sampler, without settings."""

    kind: Literal["heun"] = "heun"

    def trajectory(
        self, denoiser: BoundDenoiser, noise: Tensor, steps: int, process: Process, step_noise: StepNoise
    ) -> Iterator[SamplerStep]:
        ode = OdeView(process.is_flow)
        x = noise
        for index, (here, there) in enumerate(moves(process, trailing_timesteps(process, steps))):
            prediction = denoiser(x, here.batch(x))
            step = ode.time(there) - ode.time(here)
            slope = ode.derivative(prediction)
            start = x / ode.scale(here)
            x = ode.scale(there) * (start + step * slope)
            if there.sigma > 0 and _trapezoid_helps(ode.time(here), ode.time(there)):
                slope = 0.5 * (slope + ode.derivative(denoiser(x, there.batch(x))))
                x = ode.scale(there) * (start + step * slope)
            yield SamplerStep(index, steps, there.timestep, x, prediction.x0)


def _trapezoid_helps(time: float, next_time: float) -> bool:
    """Whether averaging the slopes at both ends beats the slope at the start alone.

    At high noise the slope is 1 - c / time^2; integrated from a down to b, the trapezoid's error exceeds
    Euler's where a > 4 b. The cosine schedule's first step goes from sigma / alpha = 20,000 to about 25.
    """
    return next_time < 1 or time <= 4 * next_time


def build(config: Config) -> Config:
    return config
