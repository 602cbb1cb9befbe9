"""DINOv2 (Oquab et al. 2023, arXiv:2304.07193) in transformers' code with the weights its authors published.

The authors' own code comes by torch.hub, which runs whatever it downloads; a file of weights is data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.compat import guard_torchvision
from facegen.errors import DataError
from facegen.formats.model_folders import without_bars
from facegen.models.published_weights import read_weights
from facegen.models.resizing import bicubic_rounded

INPUT_PIXELS, PATCH_PIXELS, HEAD_WIDTH = 224, 14, 64
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
GRID_OFFSET = 0.1  # the authors stretch positions by (16 + 0.1) / 37 and not by 16 / 37

NAMES = (  # of weights, the authors' and transformers'
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.(\d+)\.", r"encoder.layer.\1."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
)


def dinov2_features(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The network in the file at `path` as a function: uint8 (B, 3, H, W) -> class tokens (B, D).

    Images are resized as in dgm-eval, which made FD-DINOv2 (Stein et al. 2023, arXiv:2306.04675): Pillow's
    bicubic to 224 pixels, rounded, then ImageNet's mean and deviation.

    Raises:
        DataError: not the weights of such a network.
    """
    network = _network(read_weights(path), path).to(device)
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, DEVIATION))

    def extract(images: Tensor) -> Tensor:
        pixels = bicubic_rounded(images, INPUT_PIXELS).to(device).float() / 255
        return network((pixels - mean) / deviation).last_hidden_state[:, 0]

    return extract


def _network(state: dict[str, Tensor], path: Path) -> Any:
    guard_torchvision()
    from transformers import Dinov2Config, Dinov2Model

    try:
        width, blocks = state["norm.weight"].numel(), sum(name.endswith(".ls1.gamma") for name in state)
        config = Dinov2Config(
            hidden_size=width,
            num_hidden_layers=blocks,
            num_attention_heads=width // HEAD_WIDTH,
            image_size=INPUT_PIXELS,
            patch_size=PATCH_PIXELS,
        )
        weights = _renamed({**state, "pos_embed": _fitted(state["pos_embed"])})
        with without_bars():
            build: Any = Dinov2Model.from_pretrained
            network, told = build(None, config=config, state_dict=weights, output_loading_info=True)
    except (KeyError, RuntimeError, ValueError) as error:
        raise DataError(f"'{path}' are not the weights of a DINOv2: {error}.") from error
    if wrong := sorted(told["missing_keys"] | told["unexpected_keys"]):
        raise DataError(f"'{path}' are not the weights of a DINOv2: '{wrong[0]}' is missing or too much.")
    return network.eval().requires_grad_(False)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under transformers' names, queries, keys and values apart."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, theirs in NAMES:
            name = re.sub(pattern, theirs, name)
        before, together, after = name.partition("attn.qkv.")
        if together:
            for which, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[f"{before}attention.attention.{which}.{after}"] = part
        else:
            renamed[name] = value
    return renamed


def _fitted(positions: Tensor) -> Tensor:
    """Positions (1, 1 + G^2, D) of the authors' larger grid for 16 x 16 patches, interpolated as they do."""
    grid, size = round((positions.shape[1] - 1) ** 0.5), INPUT_PIXELS // PATCH_PIXELS
    if grid == size:
        return positions
    scale = (size + GRID_OFFSET) / grid
    patches = positions[:, 1:].float().unflatten(1, (grid, grid)).permute(0, 3, 1, 2)  # (1, D, G, G)
    patches = F.interpolate(patches, scale_factor=(scale, scale), mode="bicubic")  # (1, D, 16, 16)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)
