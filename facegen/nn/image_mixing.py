"""Cheap changes to a batch of training images: mirroring, and for classifiers shifts, erased boxes, mixes.

Letters: B batch, H/W rows and columns, A targets. What `Augmentation` does is beside them, and costs more.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

ERASED_SIDE = (0.125, 0.4)  # smallest and largest side of an erased box, as a share of the image's


def mirrored(images: Tensor, generator: Generator) -> Tensor:
    """Each image (B, 3, H, W) mirrored or not, with equal chances."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def shifted(images: Tensor, max_shift: int, generator: Generator) -> Tensor:
    """Each image (B, 3, H, W) moved by up to `max_shift` whole pixels either way, edges repeated."""
    count, _, height, width = images.shape
    shifts = torch.randint(-max_shift, max_shift + 1, (2, count, 1), generator=generator)
    rows = (torch.arange(height) + shifts[0]).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width) + shifts[1]).clamp(0, width - 1)  # (B, W)
    which = torch.arange(count)
    return images.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def erased(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], a box of each made grey with `probability`.

    Zhong et al. 2020 (arXiv:1708.04896): no single spot may decide an answer.
    """
    count, _, height, width = images.shape
    chance, side, top, left = torch.rand(4, count, 1, generator=generator)
    smallest, largest = ERASED_SIDE
    side = smallest + side * (largest - smallest)
    rows, columns = (torch.arange(size)[None] / size for size in (height, width))  # (1, H), (1, W)
    in_rows = (rows >= top * (1 - side)) & (rows < top * (1 - side) + side)  # (B, H)
    in_columns = (columns >= left * (1 - side)) & (columns < left * (1 - side) + side)  # (B, W)
    box = in_rows[:, None, :, None] & in_columns[:, None, None, :] & (chance < probability)[:, None, None]
    return images.masked_fill(box, 0.0)


def mixed(images: Tensor, targets: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Each image (B, 3, H, W) and its targets (B, A) blended with another's, shares from Beta(alpha, alpha).

    Zhang et al. 2018 (arXiv:1710.09412). A target that is NaN in either is NaN in the mix.
    """
    count = len(images)
    gammas = _gamma(alpha, (2, count), generator)
    share = gammas[0] / gammas.sum(0)
    other = torch.randperm(count, generator=generator)
    blend = share[:, None, None, None]
    images = blend * images + (1 - blend) * images[other]
    return images, share[:, None] * targets + (1 - share[:, None]) * targets[other]


def _gamma(alpha: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Gamma(alpha, 1) draws from `generator`, by rejection (Marsaglia & Tsang 2000), boosted below one."""
    shift = alpha + 1.0 - 1.0 / 3.0
    scale = 1.0 / (9.0 * shift) ** 0.5
    drawn, missing = torch.empty(shape), torch.ones(shape, dtype=torch.bool)
    while missing.any():
        normal, uniform = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
        cube = (1 + scale * normal) ** 3
        safe = cube.clamp(min=1e-12)
        fits = (cube > 0) & (uniform.log() < 0.5 * normal**2 + shift - shift * cube + shift * safe.log())
        drawn = torch.where(missing & fits, shift * cube, drawn)
        missing &= ~fits
    boost = torch.rand(shape, generator=generator).clamp(min=1e-30) ** (1 / alpha)
    return (drawn * boost).clamp(min=1e-30)
