"""Wiring of `facegen train`: from a recipe to a task, what its checkpoints say, and its previews.

A wiring of more than a few lines has a file of its own, `_wire_<task>.py`.
"""

from __future__ import annotations

from torch import nn

from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.nn.augmentation import Augmentation
from facegen.training.checkpointing import ModelCard
from facegen.training.previews import reconstruction_preview
from facegen.training.wire_adversarial_autoencoding import wire_adversarial_autoencoding
from facegen.training.wire_denoising import wire_denoising
from facegen.training.wired import WiredTask, blank_info, open_dataset

AUGMENTED = ("denoising", "attribute_classification")


def wire_task(recipe: Recipe) -> WiredTask:
    """Open the data and build the task that `recipe.task` names.

    Raises:
        UsageError: no data named, a section missing, or a task that `facegen train` cannot wire.
        DataError: the data are not there, of the wrong kind, or lack a split.
        StorageError: the data are damaged.
    """
    wirings = {
        "denoising": wire_denoising,
        "autoencoding": _wire_autoencoding,
        "adversarial_autoencoding": wire_adversarial_autoencoding,
        "attribute_classification": _wire_classification,
    }
    kind = recipe.task["kind"]
    if kind not in wirings:
        raise UsageError(
            f"'facegen train' cannot wire the task '{kind}'.", hint=f"It trains: {', '.join(wirings)}."
        )
    if recipe.data.augmentation is not None and kind not in AUGMENTED:
        raise UsageError(
            f"data.augmentation is for denoisers of pixels and classifiers; '{kind}' has data.flip alone.",
            hint="--set data.augmentation=null --set data.flip=true",
        )
    return wirings[kind](recipe)


def _wire_autoencoding(recipe: Recipe) -> WiredTask:
    dataset = open_dataset(recipe)
    manifest = dataset.manifest
    task = load_kind("tasks", "autoencoding").build(
        recipe.section("task"),
        dataset=dataset,
        autoencoder_config=recipe.section("autoencoder"),
        data=recipe.data,
    )
    info = blank_info(
        recipe,
        labels=manifest.labels,
        image_size=manifest.image_size,
        data_fingerprint=manifest.fingerprint,
    )
    held_out = dataset.split(recipe.data.validation_split)
    images = recipe.training.preview_images
    return WiredTask(
        task, ModelCard(info), lambda run, device: reconstruction_preview(held_out, images, run, device)
    )


def _wire_classification(recipe: Recipe) -> WiredTask:
    dataset = open_dataset(recipe)
    manifest = dataset.manifest
    augmentation = recipe.data.augmentation
    if augmentation is not None and augmentation.tell_model:
        raise UsageError(
            "A classifier is not told of augmentation.", hint="--set data.augmentation.tell_model=false"
        )
    task = load_kind("tasks", "attribute_classification").build(
        recipe.section("task"),
        labels=manifest.labels,
        image_size=manifest.image_size,
        train=dataset.split(recipe.data.train_split),
        validation=dataset.split(recipe.data.validation_split),
        flip=recipe.data.flip,
        augmentation=None if augmentation is None else Augmentation(**augmentation.values()),
        limit=recipe.data.limit,
    )
    info = blank_info(
        recipe,
        labels=manifest.labels,
        image_size=manifest.image_size,
        data_fingerprint=manifest.fingerprint,
    )
    return WiredTask(task, ModelCard(info))


def count_parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
