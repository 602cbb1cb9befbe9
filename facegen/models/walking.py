"""From sampling settings to a walk: guidance, clipping and sampler put together."""

from __future__ import annotations

from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import BoundDenoiser, Denoiser
from facegen.diffusion.guidance import clip, guide
from facegen.diffusion.walk import Sampler
from facegen.types import Conditioning


def walk_of(
    model: Denoiser, condition: Conditioning, null: Conditioning, settings: SamplingConfig
) -> Sampler:
    """The sampler that walks with `model` as `settings` say.

    Raises:
        UsageError: more steps than timesteps.
    """
    denoiser = bound(model, condition, null, settings)
    config = kind_config("samplers", settings.sampler)
    return load_kind("samplers", config.kind).build(config)(denoiser, settings.steps)


def bound(
    model: Denoiser, condition: Conditioning, null: Conditioning, settings: SamplingConfig
) -> BoundDenoiser:
    """`model` with its condition, led away from `null` and clipped as `settings` say."""
    denoiser = guide(model, condition, null, settings.guidance_scale, settings.guidance_interval)
    return denoiser if settings.clip_x0 is None else clip(denoiser, settings.clip_x0)
