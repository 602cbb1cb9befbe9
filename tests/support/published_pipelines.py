"""Pipelines of diffusers with a few thousand random weights, saved by diffusers in their published layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from support.tiny_text_encoder import save_tiny_text_encoder
from torch import nn

from facegen.compat import guard_torchvision

guard_torchvision()

diffusers: Any = import_module("diffusers")  # it does not say what it exports

Saving = Callable[[Callable[[Path], Path]], Path]
"""A function that saves a pipeline -> the folder it saved that to."""

AS_FACEGEN = {"timestep_spacing": "trailing", "set_alpha_to_one": True}
"""How a DDIM scheduler walks as facegen's does: from the noisiest timestep on, to the clean sample."""


def saved_once(root: Path) -> Saving:
    """Saves each pipeline below `root` when it is first asked for."""
    known = dict[Callable[[Path], Path], Path]()

    def folder(save: Callable[[Path], Path]) -> Path:
        if save not in known:
            known[save] = save(root)
        return known[save]

    return folder


def _shaken(model: Any) -> Any:
    """`model` with weights that all count: a fresh DiT answers zero, whatever it is asked."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.15)
    return model


def _kl() -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        scaling_factor=0.7,
    )


def save_text_pipeline(folder: Path) -> Path:
    """`StableDiffusionPipeline`: 16x16 images through latents (4, 8, 8), a scheduler as SD 1.5 has it."""
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = save_tiny_text_encoder(folder / "words")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=16,
    )
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=_kl(),
        text_encoder=CLIPTextModel.from_pretrained(words),
        tokenizer=CLIPTokenizer.from_pretrained(words),
        unet=_shaken(unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "text")
    return folder / "text"


def save_class_pipeline(folder: Path) -> Path:
    """`DiTPipeline` of 1,000 classes that learned its variance, latents (4, 8, 8); three are named."""
    torch.manual_seed(1)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        norm_num_groups=4,
    )
    diffusers.DiTPipeline(
        _shaken(transformer), _kl(), diffusers.DDIMScheduler(clip_sample=False)
    ).save_pretrained(folder / "class")
    index = (
        folder / "class" / "model_index.json"
    )  # published ones name their classes here; diffusers does not
    names = {"0": "young woman", "1": "young man", "2": "old woman"}
    index.write_text(json.dumps({**json.loads(index.read_text("utf-8")), "id2label": names}), "utf-8")
    return folder / "class"


def _unet(channels: int, side: int = 8) -> Any:
    unet = diffusers.UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    return _shaken(unet)


def save_pixel_pipeline(folder: Path, side: int = 8) -> Path:
    """`DDPMPipeline` of `side` x `side` pixels, as diffusers' unconditional example saves it."""
    torch.manual_seed(2)
    diffusers.DDPMPipeline(_unet(3, side), diffusers.DDPMScheduler()).save_pretrained(folder / "pixels")
    return folder / "pixels"


def save_latent_pipeline(folder: Path) -> Path:
    """`LDMPipeline`, of which CompVis' CelebA-HQ model is one: latents (3, 8, 8) of a VQModel."""
    torch.manual_seed(3)
    vqvae = diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        num_vq_embeddings=32,
        scaling_factor=1.0,
    )
    scheduler = diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    diffusers.LDMPipeline(vqvae, _unet(3), scheduler).save_pretrained(folder / "latents")
    return folder / "latents"
