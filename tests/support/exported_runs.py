"""Runs of networks that diffusers has too, with random weights, as training would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from support.published_pipelines import diffusers
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import load_kind
from facegen.config.recipe import parse_recipe
from facegen.formats.checkpoint import CheckpointInfo, Stored, save_checkpoint
from facegen.types import LabelSchema, LatentScaling, SampleSpec

LABELS = LabelSchema(attributes=("Smiling", "Male"), classes={"age": ("young", "old")})
NORMS = {"norm_num_groups": 4, "layers_per_block": 1}
UNET2D = {"kind": "unet2d", "block_out_channels": [8, 16], "attention_levels": [1], **NORMS}
UNET2D_CONDITION = {
    "kind": "unet2d_condition",
    "block_out_channels": [8, 16],
    "cross_attention_levels": [0],
    "num_heads": 2,
    **NORMS,
}


def save_kl(folder: Path) -> Path:
    """A small `AutoencoderKL`: images of 16x16 to latents (4, 8, 8)."""
    torch.manual_seed(3)
    diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
    ).save_pretrained(folder)
    return folder


def save_run(
    folder: Path,
    denoiser: Any,
    conditioner: Any,
    autoencoder: str | Path = "identity",
    scaling: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    shape: tuple[int, ...] = (3, 16, 16),
    **sections: Any,
) -> Path:
    """`folder` with one checkpoint, which has weak weights where guidance comes from them."""
    recipe = parse_recipe(
        {
            "task": {"kind": "denoising"},
            "denoiser": denoiser,
            "conditioner": conditioner,
            "training": {"max_steps": 1},
            **sections,
        }
    )
    torch.manual_seed(0)
    condition, network = recipe.section("conditioner"), recipe.section("denoiser")
    asked = load_kind("conditioners", condition.kind).build(condition, LABELS, SampleSpec(shape))
    walked = load_kind("denoisers", network.kind).build(network, SampleSpec(shape), asked.spec)
    for parameter in walked.parameters():
        nn.init.normal_(parameter, std=0.1)
    loaded = load_autoencoder(autoencoder)
    loaded.save(folder / "latents" / "autoencoder")
    shift, scale = scaling or ((0.0,) * shape[0], (1.0,) * shape[0])
    info = CheckpointInfo(
        step=1,
        images_seen=8,
        recipe=recipe.model_dump(mode="json"),
        labels=LABELS,
        sample_shape=shape,
        scaling=LatentScaling(shift, scale),
        image_size=16,
        autoencoder=loaded.reference(),
    )
    weights = nn.ModuleDict({"denoiser": walked, "conditioner": asked}).state_dict()
    kept = folder / "latents" / "autoencoder"
    stored: dict[Stored, dict[str, torch.Tensor]] = {"ema": weights}
    if recipe.sampling.guidance_from == "weak":
        stored["weak"] = {name: 0.8 * value for name, value in weights.items()}
    save_checkpoint(folder / "checkpoints" / "step-00000001", info, stored, None, kept)
    return folder
