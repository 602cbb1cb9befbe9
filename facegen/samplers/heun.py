"""Heun's method on the probability-flow ODE: second order, two network calls a step, deterministic.

Karras et al. 2022 (arXiv:2206.00364, algorithm 1); N steps are 2N - 1 calls, as the step to the clean
sample is Euler's. Equal to diffusers' HeunDiscreteScheduler with trailing spacing but for the first step of
the cosine schedule, see `walk.trapezoid_helps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.walk import (
    MakeSampler,
    Spacing,
    StepNoise,
    fresh_noise,
    moves,
    trailing,
    trapezoid_helps,
)
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Second-order ODE sampler, without settings."""

    kind: Literal["heun"] = "heun"


@dataclass(frozen=True)
class Heun:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        for index, (here, there) in enumerate(moves(path, self.spacing(path, self.steps))):
            prediction = self.denoiser(x, here.batch(x))
            time, next_time = (path.ode_time(level) for level in (here, there))
            slope = path.ode_slope(prediction)
            z = x / path.ode_scale(here)
            x = path.ode_scale(there) * (z + (next_time - time) * slope)
            if there.sigma > 0 and trapezoid_helps(time, next_time):
                slope = 0.5 * (slope + path.ode_slope(self.denoiser(x, there.batch(x))))
                x = path.ode_scale(there) * (z + (next_time - time) * slope)
            yield SamplerStep(index, self.steps, there.timestep, x, prediction.x0)


def build(config: Config) -> MakeSampler:
    return Heun
