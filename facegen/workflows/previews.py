"""Grids drawn while training, always from the same seeds and examples, so that they can be compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.recipe import Recipe
from facegen.diffusion.process import build_process
from facegen.formats.checkpoint import saving
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import image_grid, to_uint8, to_unit
from facegen.formats.latents import LatentStore
from facegen.formats.run import RunDirectory
from facegen.training.trainer import Preview
from facegen.types import SampleSpec
from facegen.workflows.generator import FaceGenerator

PREVIEW_COLUMNS = 8


def denoising_preview(
    recipe: Recipe, latents: LatentStore, conditioner: Any, run: RunDirectory, device: torch.device
) -> Preview:
    """A preview of faces asked for with the labels of held-out images, seeds 0, 1, 2, ...

    Raises:
        MissingModelError: the latents' autoencoder is not to be had.
    """
    index = latents.index
    autoencoder = load_autoencoder(latents.autoencoder_folder or index.autoencoder["source"], device)
    frame = latents.split(recipe.data.validation_split).frame.head(recipe.training.preview_images)
    inputs = conditioner.inputs(frame)

    def draw(module: nn.Module, step: int) -> None:
        generator = FaceGenerator(
            module=module,
            process=build_process(recipe.diffusion),
            autoencoder=autoencoder.module,
            scaling=index.scaling,
            sample_spec=SampleSpec(index.sample_shape),
            recipe=recipe,
            labels=index.labels,
            device=device,
        )
        _save_grid(generator.generate(inputs, range(len(inputs)), recipe.sampling), run, step)

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
        path.parent.mkdir(exist_ok=True)
        image_grid(images, columns=PREVIEW_COLUMNS).save(path)
