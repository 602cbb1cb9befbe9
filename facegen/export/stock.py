"""Models for which diffusers has a pipeline of its own: unconditional ones with its `UNet2DModel`.

In pixels it is a `DDPMPipeline`, in the latents of an `AutoencoderKL` an `LDMPipeline`. The latter knows one
number to scale latents by; ours have a shift and a scale a channel, which the convolutions at the
autoencoder's narrowest place take over: z = x / scale + shift before decoding, the other way after encoding.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from facegen.diffusion.schedules import betas_of
from facegen.export.model import Exported

PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
OPENED = "DiffusionPipeline.from_pretrained({folder!r})"


def without_stock(model: Exported) -> str | None:
    """Why diffusers has no pipeline for this model; None where it has one."""
    recipe, sampling = model.recipe, model.generator.sampling
    sampler, shape = sampling.sampler, model.generator.sample_spec.shape
    if model.is_led_by_weak:
        return "its guidance comes from the model as it was early in its run"
    if model.kind("denoiser") != "unet2d":
        return f"its network is facegen's own '{model.kind('denoiser')}'"
    if model.kind("conditioner") != "none":
        return f"no pipeline of diffusers tells a UNet2DModel of '{model.kind('conditioner')}'"
    if recipe["diffusion"]["parameterisation"] not in PREDICTIONS:
        return "no such pipeline walks the path of flow"
    in_pixels = model.autoencoder is not None
    if in_pixels and (shape[0] != 3 or not _is_plain(model)):
        return "its latents are not the pixels as they are"
    if not in_pixels and not _is_kl(model.generator.autoencoder):
        return "its autoencoder is no AutoencoderKL"
    if sampler["kind"] not in ("ddim", "dpmpp_2m", *(("ddpm",) if in_pixels else ())) or sampler.get("eta"):
        return f"such a pipeline does not draw as sampler '{sampler['kind']}' does"
    if sampling.clip_x0 is not None and sampler["kind"] != "ddpm":
        return "diffusers keeps the noise as it was where x0 is clipped"
    return None


def write_stock(model: Exported, folder: Path) -> None:
    """Fill `folder` with a pipeline of diffusers' own."""
    import diffusers

    library: Any = diffusers
    network: Any = model.generator.network
    network.model.register_to_config(
        sample_size=model.generator.sample_spec.shape[-1]
    )  # as it expects squares
    if model.autoencoder is not None:
        pipeline = library.DDPMPipeline(network.model, _scheduler(model, library))
    else:
        vae: Any = model.generator.autoencoder
        pipeline = library.LDMPipeline(_scaled(model, vae.model), network.model, _scheduler(model, library))
    pipeline.save_pretrained(folder)


def _scheduler(model: Exported, library: Any) -> Any:
    """The scheduler that walks as the model's sampler, its betas given one by one."""
    diffusion, sampling = model.recipe["diffusion"], model.generator.sampling
    bounds = diffusion["num_timesteps"], diffusion["beta_start"], diffusion["beta_end"]
    shared: dict[str, Any] = {
        "num_train_timesteps": diffusion["num_timesteps"],
        "trained_betas": betas_of(diffusion["schedule"], *bounds).tolist(),
        "prediction_type": PREDICTIONS[diffusion["parameterisation"]],
        "timestep_spacing": "trailing",
    }
    match sampling.sampler["kind"]:
        case "ddim":
            spacing = {"timestep_spacing": sampling.sampler.get("spacing", "trailing")}
            return library.DDIMScheduler(**shared | spacing, clip_sample=False, set_alpha_to_one=True)
        case "ddpm":
            clip = sampling.clip_x0
            return library.DDPMScheduler(
                **shared, clip_sample=clip is not None, clip_sample_range=clip or 1.0
            )
        case _:
            return library.DPMSolverMultistepScheduler(**shared)


def _scaled(model: Exported, vae: Any) -> Any:
    """A copy of the autoencoder whose latents are those that the network sees."""
    vae = deepcopy(vae)
    shift, scale = (
        torch.tensor(each) for each in (model.generator.scaling.shift, model.generator.scaling.scale)
    )
    for name, channels in (("quant_conv", 2 * len(scale)), ("post_quant_conv", len(scale))):
        if getattr(vae, name) is None:
            setattr(vae, name, _identity(channels))
    after, before = vae.post_quant_conv, vae.quant_conv
    with torch.no_grad():
        after.bias += after.weight[:, :, 0, 0] @ shift
        after.weight /= scale[None, :, None, None]
        before.weight[: len(scale)] *= scale[:, None, None, None]
        before.bias[: len(scale)] = (before.bias[: len(scale)] - shift) * scale
        before.bias[len(scale) :] += 2 * scale.abs().log()
    vae.register_to_config(
        scaling_factor=1.0, shift_factor=None, use_quant_conv=True, use_post_quant_conv=True
    )
    return vae


def _identity(channels: int) -> torch.nn.Conv2d:
    conv = torch.nn.Conv2d(channels, channels, 1)
    torch.nn.init.dirac_(conv.weight)
    torch.nn.init.zeros_(conv.bias)  # pyright: ignore[reportArgumentType]
    return conv


def _is_plain(model: Exported) -> bool:
    scaling = model.generator.scaling
    is_identity = model.autoencoder is not None and model.autoencoder["kind"] == "identity"
    return is_identity and set(scaling.shift) == {0.0} and set(scaling.scale) == {1.0}


def _is_kl(autoencoder: Any) -> bool:
    return type(getattr(autoencoder, "model", None)).__name__ == "AutoencoderKL"
