"""Images brought to a network's size as the authors of a published metric do it: Pillow's bicubic, which is
antialiased where it makes images smaller.

Rounding to whole pixel values or not is part of a protocol, so there is one function for each.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

BICUBIC = Image.Resampling.BICUBIC


def bicubic_rounded(images: Tensor, size: int) -> Tensor:
    """uint8 (B, 3, H, W) -> uint8 (B, 3, size, size) on the CPU."""
    if images.shape[-2:] == (size, size):
        return images.cpu()
    pictures = (Image.fromarray(image) for image in images.permute(0, 2, 3, 1).contiguous().cpu().numpy())
    resized = np.stack([np.asarray(picture.resize((size, size), BICUBIC)) for picture in pictures])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous()


def bicubic_exact(images: Tensor, size: int) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 (B, 3, size, size) in [0, 255] on the CPU, channel by channel and not
    rounded (Parmar et al. 2022, arXiv:2104.11222)."""
    channels = images.flatten(0, 1).cpu().numpy().astype(np.float32)
    resized = [np.asarray(Image.fromarray(one).resize((size, size), BICUBIC)) for one in channels]
    return torch.from_numpy(np.stack(resized).clip(0, 255)).unflatten(0, images.shape[:2])
