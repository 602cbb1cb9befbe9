"""Grids drawn while training, always from the same seeds and examples, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from facegen.formats.dataset import DatasetSplit
from facegen.formats.files import atomic_write, saving
from facegen.formats.images import image_grid, pil_to_png, to_uint8, to_unit
from facegen.formats.run import RunDirectory
from facegen.models.generator import FaceGenerator
from facegen.training.trainer import Preview

PREVIEW_COLUMNS = 8


def denoising_preview(
    generator_of: Callable[[nn.Module], FaceGenerator], inputs: torch.Tensor, run: RunDirectory
) -> Preview:
    """A preview of faces for condition `inputs` (N, ...), seeds 0, 1, 2, ..."""

    def draw(module: nn.Module, step: int) -> None:
        generator = generator_of(module)
        images = generator.generate(inputs, range(len(inputs)), generator.sampling)
        _save_grid(images, run, step)

    return draw


def reconstruction_preview(
    held_out: DatasetSplit, num_images: int, run: RunDirectory, device: torch.device
) -> Preview:
    """A preview of held-out images, each beside what the autoencoder makes of it."""
    images = held_out.images(torch.arange(min(num_images, len(held_out))))

    @torch.no_grad()
    def draw(module: nn.Module, step: int) -> None:
        autoencoder: Any = module
        decoded = autoencoder.decode(autoencoder.encode(to_unit(images.to(device))).mean)
        pairs = torch.stack([images, to_uint8(decoded).cpu()], dim=1).flatten(0, 1)
        _save_grid(pairs, run, step)

    return draw


def _save_grid(images: torch.Tensor, run: RunDirectory, step: int) -> None:
    path = run.sample_file(step)
    with saving(f"the preview '{path}'"):
        atomic_write(path, pil_to_png(image_grid(images, columns=PREVIEW_COLUMNS)))
