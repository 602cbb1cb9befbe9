"""Copies of pictures as they are made in passing, and how they are looked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.evaluation.options import MemorizationOptions
from facegen.formats.images import encode_png, to_pil

COPIES = MemorizationOptions(people="none", device="cpu")


def through_jpeg(images: Tensor, quality: int = 80) -> Tensor:
    out = []
    for image in images:
        buffer = io.BytesIO()
        to_pil(image).save(buffer, "JPEG", quality=quality)
        out.append(torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1))
    return torch.stack(out)


def resized(images: Tensor) -> Tensor:
    """A quarter smaller and back, as sharing a picture does."""
    side = images.shape[-1]
    pictures = [
        to_pil(image).resize((side * 3 // 4, side * 3 // 4), Image.Resampling.LANCZOS) for image in images
    ]
    back = [np.array(picture.resize((side, side), Image.Resampling.BICUBIC)) for picture in pictures]
    return torch.from_numpy(np.stack(back)).permute(0, 3, 1, 2)


def save_images(images: Tensor, folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        (folder / f"{index:05d}.png").write_bytes(encode_png(image))
    return folder
