"""Wiring of the adversarial autoencoding task: images, the perceptual network, previews."""

from __future__ import annotations

import torch
from torch import nn

from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.formats.run import RunDirectory
from facegen.models.perceptual import load_perceptual
from facegen.training.checkpointing import ModelCard
from facegen.training.previews import reconstruction_preview
from facegen.training.trainer import Preview
from facegen.training.wired import WiredTask, blank_info, open_dataset


def wire_adversarial_autoencoding(recipe: Recipe) -> WiredTask:
    """The task of a VAE-GAN on images, its checkpoints' card and its previews.

    Raises:
        UsageError: no data named, a size or class column that does not fit, or no such perceptual layer.
        MissingModelError: the perceptual network's weights are not to be had.
        DataError: the data or weights are not there or damaged, or lack a split or every class.
    """
    dataset = open_dataset(recipe)
    manifest, config = dataset.manifest, recipe.section("task")
    task = load_kind("tasks", "adversarial_autoencoding").build(
        config,
        dataset=dataset,
        autoencoder_config=recipe.section("autoencoder"),
        data=recipe.data,
        perceptual=load_perceptual(config.perceptual, manifest.image_size),
    )
    info = blank_info(
        recipe,
        labels=manifest.labels,
        image_size=manifest.image_size,
        data_fingerprint=manifest.fingerprint,
    )

    def make_preview(run: RunDirectory, device: torch.device) -> Preview:
        held_out = dataset.split(recipe.data.validation_split)
        draw = reconstruction_preview(held_out, recipe.training.preview_images, run, device)

        def draw_autoencoder(module: nn.Module, step: int) -> None:
            draw(module.get_submodule("autoencoder"), step)

        return draw_autoencoder

    return WiredTask(task, ModelCard(info), make_preview)
