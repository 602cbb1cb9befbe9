"""What tensors of other programs' networks are called, and how they lie, in facegen's.

Letters: D width, C channels, p patch size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

EMBEDS = "transformer_blocks.0.norm1.emb."  # diffusers' DiT embeds time and class in every block, alike
STAGE = re.compile(
    r"(downs|ups|mid_block)\.?(\d+)\.(?:([01])\.)?(block1\.proj|block1\.norm\.g|block2\.proj|res_conv)(.*)"
)
STAGES = {"downs": "down.{}.{}", "ups": "up.{}.{}", "mid_block": "middle.{}"}
LAYERS = {
    "block1.proj": "conv_in",
    "block1.norm.g": "norm_out.weight",  # either norm comes between the block's convolutions
    "block2.proj": "conv_out",
    "res_conv": "skip",
}  # of denoising-diffusion-pytorch 2.3.4 -> of a `unet`


def from_dit(theirs: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Tensors of diffusers' `DiTTransformer2DModel`, named and lying as in a `module` with a `dit`.

    What has no place there keeps its name. Positions are sines and cosines of columns, then of rows, and here
    the other way round: the features of patches change places throughout.
    """
    state, found = dict(theirs), dict[str, Tensor]()
    width, channels, size, _ = state["pos_embed.proj.weight"].shape
    order = torch.arange(width).view(4, -1).flip(0).flatten()

    def take(name: str) -> tuple[Tensor, Tensor]:
        weight = state.pop(f"{name}.weight")
        return weight, state.pop(f"{name}.bias", torch.zeros(len(weight)))

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        found[f"denoiser.{name}.weight"], found[f"denoiser.{name}.bias"] = weight, bias

    def put_signals(name: str, weight: Tensor, bias: Tensor) -> None:  # shifts, scales, gates: (n D, D)
        weight, bias = weight.view(-1, width, width)[:, order], bias.view(-1, width)[:, order]
        put(name, weight.flatten(0, 1), bias.flatten())

    weight, bias = take("pos_embed.proj")
    put("patch_in", weight.flatten(1)[order], bias[order])
    put("time.mlp.0", *take(f"{EMBEDS}timestep_embedder.linear_1"))
    put("time.mlp.2", *take(f"{EMBEDS}timestep_embedder.linear_2"))
    for index in {int(name.split(".")[1]) for name in state if name.startswith("transformer_blocks.")}:
        there, here = f"transformer_blocks.{index}", f"blocks.{index}"
        put_signals(f"{here}.modulation", *take(f"{there}.norm1.linear"))
        qkv = [take(f"{there}.attn1.to_{part}") for part in "qkv"]
        weight, bias = (torch.cat(parts) for parts in zip(*qkv, strict=True))
        put(f"{here}.attention.qkv", weight[:, order], bias)
        weight, bias = take(f"{there}.ff.net.0.proj")
        put(f"{here}.mlp.up", weight[:, order], bias)
        for name, target in (("attn1.to_out.0", "attention.out"), ("ff.net.2", "mlp.down")):
            weight, bias = take(f"{there}.{name}")
            put(f"{here}.{target}", weight[order], bias[order])
    put_signals("modulation_out", *take("proj_out_1"))
    weight, bias = (each.view(size, size, -1, *each.shape[1:]) for each in take("proj_out_2"))
    weight, bias = weight.movedim(2, 0), bias.movedim(2, 0)  # (C, p, p, D), (C, p, p)
    put("patch_out", weight[:channels].flatten(0, 2)[:, order], bias[:channels].flatten())
    if len(weight) > channels:  # a variance beside the mean
        state["variance.weight"], state["variance.bias"] = weight[channels:], bias[channels:]
    again = [name for name in state if ".norm1.emb." in name and not name.startswith(EMBEDS)]
    for name in again:
        if torch.equal(state[name], theirs[re.sub(r"blocks\.\d+", "blocks.0", name)]):
            del state[name]
    return {**found, **_classes(state, module), **state}


def _classes(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The embedded classes, out of `state`, and what passes them on, where `module` has as many."""
    name, here = f"{EMBEDS}class_embedder.embedding_table.weight", "conditioner.embedding.weight"
    place = module.state_dict().get(here)
    if place is None or place.shape != state[name].shape:
        return {}
    table = state.pop(name)
    width = table.shape[1]
    vector_in = {"denoiser.vector_in.weight": torch.eye(width), "denoiser.vector_in.bias": torch.zeros(width)}
    return {here: table, **vector_in}


def from_ddpm_pytorch(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of denoising-diffusion-pytorch's U-Net, named as in a module with a `unet`.

    Convolutions of residual blocks and the norm between them have their place there. Attention, time and
    resampling are others, and keep their names.
    """
    found: dict[str, Tensor] = {}
    for name, value in theirs.items():
        if (stage := STAGE.fullmatch(name)) is None:
            found[name] = value
            continue
        part, first, second, layer, rest = stage.groups()
        index = int(first) - 1 if part == "mid_block" else first  # which are counted from 1
        here = f"denoiser.{STAGES[part].format(index, second)}.block.{LAYERS[layer]}{rest}"
        found[here] = value.flatten() if layer == "block1.norm.g" else value
    return found


def like_ddpm_pytorch(theirs: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of the `unet` that takes most of a U-Net of denoising-diffusion-pytorch."""
    width = len(theirs["init_conv.weight"])
    ends = {name: len(value) for name, value in theirs.items() if re.match(r"downs\.\d+\.3\..*bias", name)}
    widths = [ends[name] for name in sorted(ends, key=lambda name: int(name.split(".")[1]))]
    return {
        "kind": "unet",
        "base_channels": width,
        "channel_multipliers": [each // width for each in widths],
        "num_res_blocks": 1,
        "self_attention_levels": [len(widths) - 1],
    }
