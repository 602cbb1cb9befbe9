"""From sampling settings to a walk: guidance, clipping and sampler put together."""

from __future__ import annotations

from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import Denoiser
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
    """The sampler that walks with `model` as `settings` say, away from the `weak` one where they say that.

    Raises:
        UsageError: more steps than timesteps, or autoguidance without a weak model.
    """
    if settings.autoguidance_scale == 1:
        denoiser = guide(model, condition, null, settings.guidance_scale, settings.guidance_interval)
    elif weak is None:
        raise UsageError(
            "sampling.autoguidance_scale needs the weights of early in the run, and this model has none.",
            hint="Train with --set training.weak_at=0.05, or draw with autoguidance_scale 1.",
        )
    else:
        away = guide(*weak, null, 1.0)
        scale, interval = settings.autoguidance_scale, settings.guidance_interval
        denoiser = autoguide(model, condition, away, scale, interval)
    if settings.clip_x0 is not None:
        denoiser = clip(denoiser, settings.clip_x0)
    config = kind_config("samplers", settings.sampler)
    return load_kind("samplers", config.kind).build(config)(denoiser, settings.steps)
