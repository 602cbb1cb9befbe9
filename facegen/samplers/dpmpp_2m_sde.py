"""DPM-Solver++ (2M) on the diffusion SDE: second-order multistep with fresh noise in every step.

Lu et al. 2022 (arXiv:2211.01095, eq. 19 and algorithm 2), midpoint form; the first step and the step to the
clean sample are first order. Equal to diffusers' DPMSolverMultistepScheduler with `sde-dpmsolver++`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.walk import MakeSampler, Spacing, StepNoise, fresh_noise, moves, trailing
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Second-order stochastic sampler, without settings; 20 to 50 steps do."""

    kind: Literal["dpmpp_2m_sde"] = "dpmpp_2m_sde"


@dataclass(frozen=True)
class DPMSolver2MSDE:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        previous_x0: Tensor | None = None
        previous_h = 0.0
        levels = moves(path, self.spacing(path, self.steps), finite_snr=True)
        for index, (here, there) in enumerate(levels):
            x0 = self.denoiser(x, here.batch(x)).x0
            h = there.half_log_snr - here.half_log_snr
            estimate = x0
            if previous_x0 is not None and there.sigma > 0:
                estimate = x0 + 0.5 * h / previous_h * (x0 - previous_x0)
            gained = -math.expm1(-2 * h)  # 1 - exp(-2 h)
            x = there.sigma / here.sigma * math.exp(-h) * x + there.alpha * gained * estimate
            if there.sigma > 0:
                x = x + there.sigma * gained**0.5 * step_noise(index, x)
            previous_x0, previous_h = x0, h
            yield SamplerStep(index, self.steps, there.timestep, x, x0)


def build(config: Config) -> MakeSampler:
    return DPMSolver2MSDE
