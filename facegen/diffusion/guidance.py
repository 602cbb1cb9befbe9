"""Classifier-free guidance and clipping as denoisers: samplers never see them."""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.diffusion.process import Process
from facegen.protocols import BoundDenoiser, Denoiser
from facegen.types import Conditioning, Prediction

TWO_PASSES_FROM = 32  # rows; on a CPU one doubled batch of this size is slower than two passes


def guided_denoiser(
    network: Denoiser,
    process: Process,
    conditioning: Conditioning,
    null_conditioning: Conditioning,
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> BoundDenoiser:
    """Bind conditioning and guidance to a network: `uncond + scale * (cond - uncond)`, so 1 is off.

    Ho and Salimans 2022 (arXiv:2207.12598), on the network's raw output. Outside `interval` of noise
    levels (0 clean .. 1 pure noise) the conditional output is used alone, after Kynkäänniemi et al.
    2024 (arXiv:2404.07724); there, and wherever the scale is 1, the second pass is not computed.
    """
    low, high = interval

    def denoise(x_t: Tensor, timestep: Tensor) -> Prediction:
        level = process.noise_level(timestep)
        guided = (level >= low) & (level <= high)
        if scale == 1.0 or not bool(guided.any()):
            return process.prediction(network(x_t, timestep, conditioning), x_t, timestep)
        cond, uncond = _both(network, x_t, timestep, conditioning, null_conditioning)
        scales = torch.where(guided, scale, 1.0).to(cond.dtype)
        output = uncond + scales.view(-1, *[1] * (x_t.ndim - 1)) * (cond - uncond)
        return process.prediction(output, x_t, timestep)

    return denoise


def clipped_denoiser(denoise: BoundDenoiser, process: Process, bound: float) -> BoundDenoiser:
    """Keep estimates of x0 within `[-bound, bound]`, with the eps that then explains x_t.

    Where a schedule leaves next to no signal, as squared cosine does at its noisy end, dividing by alpha
    blows the error of a predicted eps up by thousands; Ho et al. 2020 clip pixels to 1 for that reason.
    """

    def denoise_within(x_t: Tensor, timestep: Tensor) -> Prediction:
        x0 = denoise(x_t, timestep).x0.clamp(-bound, bound)
        return Prediction(x0=x0, eps=process.eps_of(x0, x_t, timestep))

    return denoise_within


def _both(
    network: Denoiser, x_t: Tensor, timestep: Tensor, conditioning: Conditioning, null: Conditioning
) -> tuple[Tensor, Tensor]:
    """Conditional and unconditional outputs, in one doubled batch or in two passes."""
    if x_t.device.type == "cpu" and len(x_t) >= TWO_PASSES_FROM:
        return network(x_t, timestep, conditioning), network(x_t, timestep, null)
    both = Conditioning.cat([conditioning, null])
    cond, uncond = network(torch.cat([x_t, x_t]), torch.cat([timestep, timestep]), both).chunk(2)
    return cond, uncond
