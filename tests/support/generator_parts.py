"""A small untrained generator, its weights shaken so that every path of the network counts."""

from typing import Any

import torch
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import parse_recipe
from facegen.formats.checkpoint import CheckpointInfo, save_checkpoint
from facegen.models.generator import FaceGenerator
from facegen.models.objective import objective_of
from facegen.types import LabelSchema, LatentScaling, SampleSpec

LABELS = LabelSchema(attributes=("Smiling", "Eyeglasses", "Male"), classes={"age": ("young", "old")})
SHAPE = (3, 16, 16)
DIT = {"kind": "dit", "patch_size": 2, "width": 32, "depth": 2, "num_heads": 2}
UNET = {
    "kind": "unet",
    "base_channels": 16,
    "channel_multipliers": [1, 2],
    "num_res_blocks": 1,
    "self_attention_levels": [1],
}


def tiny_recipe(conditioner: Any = "attributes", denoiser=None, **sections):
    if isinstance(conditioner, str):
        condition = {"kind": conditioner} | ({} if conditioner == "none" else {"dim": 32})
    else:
        condition = conditioner
    return parse_recipe(
        {
            "task": {"kind": "denoising"},
            "denoiser": denoiser or DIT,
            "conditioner": condition,
            "training": {"max_steps": 1},
            "sampling": {"steps": 4, "guidance_scale": 2.0},
            **sections,
        }
    )


def tiny_module(recipe):
    torch.manual_seed(0)
    condition, network = (recipe.section(name) for name in ("conditioner", "denoiser"))
    conditioner = load_kind("conditioners", condition.kind).build(condition, LABELS, SampleSpec(SHAPE))
    denoiser = load_kind("denoisers", network.kind).build(network, SampleSpec(SHAPE), conditioner.spec)
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.1)
    return nn.ModuleDict({"denoiser": denoiser, "conditioner": conditioner})


def tiny_generator(recipe=None, autoencoder=None):
    recipe = recipe or tiny_recipe()
    return FaceGenerator(
        module=tiny_module(recipe).eval(),
        objective=objective_of(recipe.diffusion),
        autoencoder=autoencoder or load_autoencoder("identity").module,
        scaling=LatentScaling((0.0,) * 3, (2.0,) * 3),
        sample_spec=SampleSpec(SHAPE),
        image_size=16 * getattr(autoencoder, "downsampling", 1),
        sampling=recipe.sampling,
        labels=LABELS,
        data=recipe.data,
        described=recipe.model_dump(mode="json"),
    )


def compact_autoencoder():
    """An untrained convolutional autoencoder whose latents have 3 channels."""
    torch.manual_seed(1)
    config = kind_config("autoencoders", {"kind": "compact", "latent_channels": 3})
    return load_kind("autoencoders", "compact").build(config).eval()


def save_run(folder, recipe=None, **changes):
    """A run folder with one checkpoint of `tiny_module`, as training would leave it."""
    recipe = recipe or tiny_recipe()
    autoencoder = load_autoencoder("identity")
    autoencoder.save(folder / "latents" / "autoencoder")
    module = tiny_module(recipe)
    plain = {name: torch.zeros_like(value) for name, value in module.state_dict().items()}
    info = CheckpointInfo(
        step=7,
        images_seen=70,
        recipe=recipe.model_dump(mode="json"),
        labels=LABELS,
        sample_shape=SHAPE,
        scaling=LatentScaling((0.0,) * 3, (2.0,) * 3),
        image_size=SHAPE[-1],
        autoencoder=autoencoder.reference(),
        **changes,
    )
    save_checkpoint(
        folder / "run" / "checkpoints" / "step-00000007",
        info,
        {"model": plain, "ema": module.state_dict()},
        {},
        folder / "latents" / "autoencoder",
    )
    return folder / "run"
