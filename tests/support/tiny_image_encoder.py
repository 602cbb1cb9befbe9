"""CLIP and DINOv2 of a few thousand random weights, saved in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facegen.compat import guard_torchvision

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
PROJECTION_DIM = 12


def save_tiny_clip(folder: Path) -> Path:
    """A whole CLIP, text half included, as the hub has it."""
    guard_torchvision()
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    text = {name: value for name, value in SMALL.items() if name not in ("image_size", "patch_size")}
    config = CLIPConfig(
        text_config={**text, "vocab_size": 20, "projection_dim": PROJECTION_DIM},
        vision_config={**SMALL, "projection_dim": PROJECTION_DIM},
        projection_dim=PROJECTION_DIM,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def save_tiny_dinov2(folder: Path) -> Path:
    guard_torchvision()
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SMALL, mlp_ratio=2)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"crop_size": {"height": 48, "width": 48}}', "utf-8")
    return folder
