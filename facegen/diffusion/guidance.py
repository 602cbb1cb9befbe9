"""Guidance and clipping: functions from denoisers to a denoiser, so that samplers never see them.

A scale of 1 is no guidance. `interval` is the noise levels (0 clean .. 1 pure noise) at which there is any,
after Kynkäänniemi et al. 2024 (arXiv:2404.07724); elsewhere, and where the scale is 1, the conditional answer
is used alone and nothing else is computed. Shapes: states and outputs (B, *S), scales (B, 1, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.diffusion.denoiser import BoundDenoiser, Denoiser
from facegen.diffusion.paths import Path
from facegen.shapes import Columns, States, Times
from facegen.types import Conditioning, Prediction

TWO_PASSES_FROM = 32  # rows; on a CPU one doubled batch of this size is slower than two passes
ALWAYS = (0.0, 1.0)


@dataclass(frozen=True)
class Bound:
    """A `BoundDenoiser` of a function."""

    path: Path
    denoise: Callable[[Tensor, Tensor], Prediction]

    def __call__(self, x_t: States, timestep: Times) -> Prediction:
        return self.denoise(x_t, timestep)


def guide(
    model: Denoiser,
    condition: Conditioning,
    null: Conditioning,
    scale: float,
    interval: tuple[float, float] = ALWAYS,
    rescale: float = 0.0,
) -> BoundDenoiser:
    """Classifier-free guidance: `null + scale * (cond - null)` of the network's outputs.

    Ho and Salimans 2022 (arXiv:2207.12598). `rescale` gives back that share of the contrast which guidance
    adds: Lin et al. 2024 (arXiv:2305.08891, eqs. 15-16; they use 0.7).
    """

    def guided(x_t: States, timestep: Times, scales: Columns) -> Prediction:
        cond, other = _both(model, x_t, timestep, condition, null)
        output = other + scales * (cond - other)
        if rescale:
            over = tuple(range(1, cond.ndim))
            ratio = cond.std(over, keepdim=True) / output.std(over, keepdim=True)
            output = output * (rescale * ratio + 1 - rescale)
        return model.objective.prediction(output, x_t, timestep)

    return _within(model, condition, scale, interval, guided)


def guide_projected(
    model: Denoiser,
    condition: Conditioning,
    null: Conditioning,
    scale: float,
    interval: tuple[float, float] = ALWAYS,
    *,
    parallel: float = 0.0,
    radius: float = float("inf"),
    momentum: float = 0.0,
) -> BoundDenoiser:
    """Guidance of x0 that does not oversaturate: Sadat et al. 2025 (arXiv:2410.02416), "APG".

    Of the difference between both answers the share `parallel` of what points along the conditional one is
    kept, and its length is at most `radius`. `momentum`, negative in the paper, weighs what the steps before
    have added; it remembers them, so bind anew for every walk.
    """
    average: Tensor | None = None

    def guided(x_t: States, timestep: Times, scales: Columns) -> Prediction:
        nonlocal average
        outputs = _both(model, x_t, timestep, condition, null)
        cond, other = (model.objective.prediction(each, x_t, timestep).x0 for each in outputs)
        difference = cond - other if average is None else cond - other + momentum * average
        average = difference
        over = tuple(range(1, cond.ndim))
        length = difference.square().sum(over, keepdim=True).sqrt()
        difference = difference * (radius / length).clamp(max=1)
        along = cond / cond.square().sum(over, keepdim=True).sqrt()
        part = (difference * along).sum(over, keepdim=True) * along
        x0 = cond + (scales - 1) * (difference - part + parallel * part)
        return Prediction(x0=x0, eps=model.path.eps_of(x0, x_t, timestep))

    return _within(model, condition, scale, interval, guided)


def autoguide(
    model: Denoiser,
    condition: Conditioning,
    weak: BoundDenoiser,
    scale: float,
    interval: tuple[float, float] = ALWAYS,
) -> BoundDenoiser:
    """Lead `model` away from what a `weak` one, smaller or less trained, answers.

    Karras et al. 2024 (arXiv:2406.02507), where it is asked the same; asked nothing, it makes the request
    stronger as well. Both must walk the same path.
    """

    def guided(x_t: States, timestep: Times, scales: Columns) -> Prediction:
        good, bad = model(x_t, timestep, condition).x0, weak(x_t, timestep).x0
        x0 = bad + scales * (good - bad)
        return Prediction(x0=x0, eps=model.path.eps_of(x0, x_t, timestep))

    return _within(model, condition, scale, interval, guided)


def clip(denoiser: BoundDenoiser, bound: float) -> BoundDenoiser:
    """Keep estimates of x0 within `[-bound, bound]`, with the eps that then explains x_t.

    Where a schedule leaves next to no signal, as squared cosine does at its noisy end, dividing by alpha
    blows the error of a predicted eps up by thousands; Ho et al. 2020 clip pixels to 1 for that reason.
    """

    def clipped(x_t: States, timestep: Times) -> Prediction:
        x0 = denoiser(x_t, timestep).x0.clamp(-bound, bound)
        return Prediction(x0=x0, eps=denoiser.path.eps_of(x0, x_t, timestep))

    return Bound(denoiser.path, clipped)


def _within(
    model: Denoiser,
    condition: Conditioning,
    scale: float,
    interval: tuple[float, float],
    guided: Callable[[Tensor, Tensor, Tensor], Prediction],
) -> BoundDenoiser:
    """`guided` with a scale a row, 1 outside the interval; the model alone where no row is guided."""
    low, high = interval

    def denoise(x_t: States, timestep: Times) -> Prediction:
        level = model.path.noise_level(timestep)
        inside = (level >= low) & (level <= high)
        if scale == 1.0 or not bool(inside.any()):
            return model(x_t, timestep, condition)
        scales = torch.where(inside, scale, 1.0).to(x_t.dtype)
        return guided(x_t, timestep, scales.view(-1, *[1] * (x_t.ndim - 1)))

    return Bound(model.path, denoise)


def _both(
    model: Denoiser, x_t: States, timestep: Times, condition: Conditioning, null: Conditioning
) -> tuple[States, States]:
    """Conditional and unconditional outputs, in one doubled batch or in two passes."""
    if x_t.device.type == "cpu" and len(x_t) >= TWO_PASSES_FROM:
        return model.output(x_t, timestep, condition), model.output(x_t, timestep, null)
    both = Conditioning.cat([condition, null])
    cond, other = model.output(torch.cat([x_t, x_t]), torch.cat([timestep, timestep]), both).chunk(2)
    return cond, other
