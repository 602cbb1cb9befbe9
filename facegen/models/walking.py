"""From sampling settings to a walk: guidance, clipping and sampler put together."""

from __future__ import annotations

from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import BoundDenoiser, Denoiser
from facegen.diffusion.guidance import autoguide, clip, guide
from facegen.diffusion.walk import Sampler
from facegen.errors import UsageError
from facegen.types import Conditioning


def walk_of(
    model: Denoiser,
    condition: Conditioning,
    null: Conditioning,
    settings: SamplingConfig,
    weak: tuple[Denoiser, Conditioning] | None = None,
) -> Sampler:
    """The sampler that walks with `model` as `settings` say, with guidance from the `weak` one, which
    comes with what it is asked, where they say that.

    Raises:
        UsageError: more steps than timesteps, or guidance from a weak model that is not there.
    """
    denoiser = bound(model, condition, null, settings, weak)
    config = kind_config("samplers", settings.sampler)
    return load_kind("samplers", config.kind).build(config)(denoiser, settings.steps)


def bound(
    model: Denoiser,
    condition: Conditioning,
    null: Conditioning,
    settings: SamplingConfig,
    weak: tuple[Denoiser, Conditioning] | None = None,
) -> BoundDenoiser:
    """`model` with its condition, guided and clipped as `settings` say; otherwise as `walk_of`.

    Raises:
        UsageError: guidance from a weak model that is not there.
    """
    scale, interval = settings.guidance_scale, settings.guidance_interval
    if settings.guidance_from == "model" or scale == 1:
        denoiser = guide(model, condition, null, scale, interval)
    elif weak is None:
        raise UsageError(
            "sampling.guidance_from 'weak' needs the weights of early in the run, and this model has none.",
            hint="Train with --set training.weak_at=0.2, or draw with guidance_from 'model'.",
        )
    else:
        denoiser = autoguide(model, condition, guide(*weak, null, 1.0), scale, interval)
    return denoiser if settings.clip_x0 is None else clip(denoiser, settings.clip_x0)
