"""DPM-Solver++ (2M): second-order multistep in log-SNR, one network call a step, deterministic.

Lu et al. 2022 (arXiv:2211.01095, algorithm 2), midpoint form; the first step and the step to the clean
sample are first order. Equal to diffusers' DPMSolverMultistepScheduler with trailing spacing, and with
`use_flow_sigmas` for flow.
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
    """Second-order multistep sampler, without settings; 15 to 20 steps do."""

    kind: Literal["dpmpp_2m"] = "dpmpp_2m"


@dataclass(frozen=True)
class DPMSolver2M:
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
                estimate = x0 + 0.5 * h / previous_h * (x0 - previous_x0)  # r = previous_h / h, eq. 18
            x = there.sigma / here.sigma * x - there.alpha * math.expm1(-h) * estimate
            previous_x0, previous_h = x0, h
            yield SamplerStep(index, self.steps, there.timestep, x, x0)


def build(config: Config) -> MakeSampler:
    return DPMSolver2M
