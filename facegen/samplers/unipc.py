"""UniPC of second order: predicts a step, then corrects it with the call the next step makes anyway.

Zhao et al. 2023 (arXiv:2302.04867, algorithms 1 and 2 with B(h) = exp(h) - 1), predicting x0; the first step
and the step to the clean sample are first order. Equal to diffusers' UniPCMultistepScheduler with trailing
spacing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.paths import Level
from facegen.diffusion.walk import MakeSampler, Spacing, StepNoise, fresh_noise, moves, trailing
from facegen.shapes import States
from facegen.types import SamplerStep


class Config(KindConfig, frozen=True):
    """Second-order predictor-corrector, without settings; 8 to 20 steps do."""

    kind: Literal["unipc"] = "unipc"


@dataclass(frozen=True)
class _Known:
    """A level that has been passed: the corrected state there and the x0 estimated at it."""

    level: Level
    x: States
    x0: States


@dataclass(frozen=True)
class UniPC:
    denoiser: BoundDenoiser
    steps: int
    spacing: Spacing = trailing

    def __call__(self, noise: States, step_noise: StepNoise = fresh_noise) -> Iterator[SamplerStep]:
        path = self.denoiser.path
        x = path.start(noise)
        known: list[_Known] = []  # the last two, oldest first
        levels = moves(path, self.spacing(path, self.steps), finite_snr=True)
        for index, (here, there) in enumerate(levels):
            x0 = self.denoiser(x, here.batch(x)).x0
            if known:
                x = _corrected(known, here, x0)
            known = [*known[-1:], _Known(here, x, x0)]
            x = _predicted(known, there)
            yield SamplerStep(index, self.steps, there.timestep, x, x0)


def _first_order(last: _Known, there: Level) -> tuple[Tensor, float, float]:
    """The step of first order from `last`, exp(-h) - 1 of it, and h."""
    h = there.half_log_snr - last.level.half_log_snr
    grown = math.expm1(-h)
    return there.sigma / last.level.sigma * last.x - there.alpha * grown * last.x0, grown, h


def _predicted(known: list[_Known], there: Level) -> States:
    """UniP, eq. 3: the state at `there` from the last two levels."""
    x, grown, h = _first_order(known[-1], there)
    if len(known) == 1 or there.sigma == 0:
        return x
    before, last = known
    ratio = (before.level.half_log_snr - last.level.half_log_snr) / h
    return x - there.alpha * grown * 0.5 * (before.x0 - last.x0) / ratio


def _corrected(known: list[_Known], here: Level, x0: States) -> States:
    """UniC, eq. 4: the state at `here` once more, now that `x0` has been estimated there."""
    last = known[-1]
    x, grown, h = _first_order(last, here)
    if len(known) == 1:
        return x - here.alpha * grown * 0.5 * (x0 - last.x0)
    before = known[0]
    ratio = (before.level.half_log_snr - last.level.half_log_snr) / h
    first = (grown / -h - 1) / grown  # phi_2 and 2 phi_3 over B(h), the right side of eq. 5
    second = 2 * ((grown / -h - 1) / -h - 0.5) / grown
    new = (second - ratio * first) / (1 - ratio)  # of [[1, 1], [ratio, 1]] (old, new) = (first, second)
    old = first - new
    return x - here.alpha * grown * (old * (before.x0 - last.x0) / ratio + new * (x0 - last.x0))


def build(config: Config) -> MakeSampler:
    return UniPC
