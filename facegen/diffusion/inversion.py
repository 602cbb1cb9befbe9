"""A sample walked into noise, and drawn again so that it differs by what is asked and by nothing else.

Up the probability-flow ODE goes the sample with what it is told to show; every state on the way is kept, with
the slope there. Down goes only the difference d from these states, in the path's coordinates z of an ODE:

    dd/dtime = slope of the asked denoiser at (state + d) - slope that was kept,    d = 0 where it begins.

Asked for what it was told, d stays 0 to the last bit, so the sample comes back whatever the solver's errors:
they are in the states that are kept. That is the correction of the source branch of Ju et al. 2023
(arXiv:2310.01506, "Direct Inversion") on both branches at once, and what Kulikov et al. 2024
(arXiv:2412.08629, eq. 8) integrate along noised samples instead of an inverted walk. Shapes: states (B, *S).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from facegen.diffusion.denoiser import BoundDenoiser
from facegen.diffusion.paths import Level
from facegen.diffusion.walk import trapezoid_helps
from facegen.shapes import States
from facegen.types import SamplerStep


@dataclass(frozen=True)
class Inversion:
    """A sample's own walk: K `steps` from noisy to clean, the K + 1 `states` between them, noisiest first and
    last the sample, and the K `slopes` at the noisier end of each step."""

    steps: tuple[tuple[Level, Level], ...]
    states: tuple[States, ...]
    slopes: tuple[States, ...]


def invert(denoiser: BoundDenoiser, x0: States, steps: Sequence[tuple[Level, Level]]) -> Inversion:
    """Walk clean `x0` (B, *S) up `steps`, which `walk.moves` gives from noisy to clean; 2 calls a step.

    Heun's method. The network is not asked at the clean end, where some answers have no meaning: the first
    step takes the slope of its noisier end twice, an implicit Euler step.
    """
    path = denoiser.path
    states, slopes = [x0], list[States]()
    for noisier, cleaner in reversed(steps):
        z, rise = states[-1] / path.ode_scale(cleaner), path.ode_time(noisier) - path.ode_time(cleaner)

        def at_noisier(z: States, level: Level = noisier) -> States:
            x = path.ode_scale(level) * z
            return path.ode_slope(denoiser(x, level.batch(x)))

        start = slopes[-1] if slopes else at_noisier(z)
        end = at_noisier(z + rise * start)
        trapezoid = slopes and trapezoid_helps(path.ode_time(noisier), path.ode_time(cleaner))
        z = z + rise * (0.5 * (start + end) if trapezoid else end)
        states.append(path.ode_scale(noisier) * z)
        slopes.append(path.ode_slope(denoiser(states[-1], noisier.batch(x0))))
    return Inversion(tuple(steps), tuple(reversed(states)), tuple(reversed(slopes)))


def redraw(
    asked: BoundDenoiser, inversion: Inversion, num_steps: int, where: States | None = None
) -> Iterator[SamplerStep]:
    """Walk the last `num_steps` of the inversion's steps with what is `asked`; the last x0 is the sample.

    `where`, which multiplies (B, *S), is 1 where the sample may change and 0 where it has to stay: there
    every state is the sample's own, so that what is drawn fits to it (Lugmayr et al. 2022, arXiv:2201.09865,
    with the sample's own noise in place of fresh one).
    """
    path = asked.path
    first = len(inversion.steps) - num_steps
    difference = torch.zeros_like(inversion.states[-1])
    for index in range(num_steps):
        here, there = inversion.steps[first + index]
        state, following = inversion.states[first + index], inversion.states[first + index + 1]
        x = state + path.ode_scale(here) * difference
        prediction = asked(x, here.batch(x))
        slope = path.ode_slope(prediction) - inversion.slopes[first + index]
        difference = difference + (path.ode_time(there) - path.ode_time(here)) * slope
        if where is not None:
            difference = difference * where
        x = following + path.ode_scale(there) * difference
        yield SamplerStep(index, num_steps, there.timestep, x, x if there.sigma == 0 else prediction.x0)
