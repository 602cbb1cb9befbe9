"""How well an autoencoder gives held-out images back: PSNR beside that of the mean image, and a verdict."""

from __future__ import annotations

import torch
from torch import Tensor

VALIDATION_BATCH_IMAGES = 64
USEFUL_MARGIN_DB = 3.0  # over answering with the mean image; less is no reconstruction


def peak_signal_to_noise(a: Tensor, b: Tensor) -> Tensor:
    """PSNR in dB per image (B,) between uint8-valued images (B, 3, H, W); identical images give 99."""
    mse = (a.double() - b.double()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(255.0**2 / mse)).clamp(max=99.0)


def mean_image_psnr(images: Tensor) -> float:
    """PSNR in dB of answering each of uint8 (N, 3, H, W) with their mean: what no model at all gets."""
    mean_image = images.double().mean(0, keepdim=True).round().expand_as(images)
    return peak_signal_to_noise(images, mean_image).mean().item()


def reconstruction_verdict(psnr: float, floor: float, count: int) -> str:
    """A sentence on `psnr` dB over `count` images, which calls a model useless that hardly beats `floor`."""
    told = f"Reconstruction {psnr:.2f} dB PSNR on {count} held-out images (the mean image: {floor:.2f} dB)"
    return f"{told}." if psnr >= floor + USEFUL_MARGIN_DB else f"{told}: not a useful autoencoder yet."
