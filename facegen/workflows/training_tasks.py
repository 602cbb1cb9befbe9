"""Wiring of `facegen train`: from a recipe to a task, what its checkpoints say, and its previews."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.diffusion.process import build_process
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import CheckpointInfo
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.run import RunDirectory
from facegen.protocols import TrainingTask
from facegen.training.checkpointing import ModelCard
from facegen.training.data_order import seed_for
from facegen.training.trainer import Preview
from facegen.types import SampleSpec
from facegen.workflows.previews import denoising_preview, reconstruction_preview


@dataclass(frozen=True)
class WiredTask:
    """A task ready for the trainer; `make_preview` gives its preview once the run folder is there."""

    task: TrainingTask
    card: ModelCard
    make_preview: Callable[[RunDirectory, torch.device], Preview] | None = None


def wire_task(recipe: Recipe) -> WiredTask:
    """Open the data and build the task that `recipe.task` names.

    Raises:
        UsageError: no data named, a section missing, or a task that `facegen train` cannot wire.
        DataError: the data are not there, of the wrong kind, or lack a split.
        StorageError: the data are damaged.
    """
    wirings = {
        "denoising": _wire_denoising,
        "autoencoding": _wire_autoencoding,
        "attribute_classification": _wire_classification,
    }
    kind = recipe.task["kind"]
    if kind not in wirings:
        raise UsageError(
            f"'facegen train' cannot wire the task '{kind}'.", hint=f"It trains: {', '.join(wirings)}."
        )
    return wirings[kind](recipe)


def _wire_denoising(recipe: Recipe) -> WiredTask:
    latents = open_latents(recipe)
    index = latents.index
    conditioner = _build_conditioner(recipe, latents)
    spec, sample = conditioner.spec, SampleSpec(index.sample_shape)
    denoiser = recipe.section("denoiser")
    task = load_kind("tasks", "denoising").build(
        recipe.section("task"),
        latents=latents,
        data=recipe.data,
        process=build_process(recipe.diffusion),
        conditioner=conditioner,
        build_denoiser=lambda: load_kind("denoisers", denoiser.kind).build(denoiser, sample, spec),
    )
    info = _blank_info(
        recipe,
        labels=index.labels,
        sample_shape=index.sample_shape,
        scaling=index.scaling,
        image_size=index.image_size,
        autoencoder=index.autoencoder,
        data_fingerprint=index.fingerprint,
    )
    card = ModelCard(info, latents.autoencoder_folder)
    return WiredTask(
        task, card, lambda run, device: denoising_preview(recipe, latents, conditioner, run, device)
    )


def _build_conditioner(recipe: Recipe, latents: LatentStore) -> Any:
    """The conditioner, with weights from the run's seed, with cached text embeddings if it can use them."""
    config = recipe.section("conditioner")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("conditioner", recipe.training.seed))
        conditioner = load_kind("conditioners", config.kind).build(config, latents.index.labels)
    table = latents.text_embeddings
    if table is not None and table.encoder == getattr(conditioner, "encoder_name", None):
        conditioner.attach_table(table.captions, table.tokens, table.mask)
    return conditioner


def _wire_autoencoding(recipe: Recipe) -> WiredTask:
    dataset = open_dataset(recipe)
    manifest = dataset.manifest
    task = load_kind("tasks", "autoencoding").build(
        recipe.section("task"),
        dataset=dataset,
        autoencoder_config=recipe.section("autoencoder"),
        data=recipe.data,
    )
    info = _blank_info(
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
    task = load_kind("tasks", "attribute_classification").build(
        recipe.section("task"),
        labels=manifest.labels,
        image_size=manifest.image_size,
        train=dataset.split(recipe.data.train_split),
        validation=dataset.split(recipe.data.validation_split),
        flip=recipe.data.flip,
        limit=recipe.data.limit,
    )
    info = _blank_info(
        recipe,
        labels=manifest.labels,
        image_size=manifest.image_size,
        data_fingerprint=manifest.fingerprint,
    )
    return WiredTask(task, ModelCard(info))


def open_latents(recipe: Recipe) -> LatentStore:
    """The latents a denoising recipe names, every checksum compared.

    Raises:
        UsageError: `data.path` is not set.
        DataError: not there, or a data set that has not been encoded yet.
        StorageError: names the shard that is missing, cut or altered.
    """
    path = _data_path(recipe, "a latent folder")
    if not (path / INDEX_FILE).is_file() and (path / MANIFEST_NAME).is_file():
        raise DataError(
            f"'{path}' is a data set of images; a denoiser is trained on latents.",
            hint=f"Encode it first: facegen encode {path} --autoencoder NAME_OR_PATH --out LATENTS",
        )
    return LatentStore.open(path, verify=True)


def open_dataset(recipe: Recipe) -> Dataset:
    """The data set of images that an autoencoding or classification recipe names.

    Raises:
        UsageError: `data.path` is not set.
        DataError: not there, or a folder of latents.
    """
    path = _data_path(recipe, "a data set of images")
    if not (path / MANIFEST_NAME).is_file() and (path / INDEX_FILE).is_file():
        raise DataError(
            f"'{path}' is a folder of latents; the task '{recipe.task['kind']}' is trained on images.",
            hint="Give the data set that 'facegen prepare' wrote.",
        )
    return Dataset.open(path)


def _data_path(recipe: Recipe, what: str) -> Path:
    if recipe.data.path is None:
        raise UsageError(
            f"The recipe names no data; its task '{recipe.task['kind']}' needs {what}.",
            hint="Give it with --data DIR.",
        )
    path = Path(recipe.data.path).expanduser()
    if not path.is_dir():
        raise DataError(f"'{path}' does not exist; expected {what}.", hint="Give it with --data DIR.")
    return path


def _blank_info(recipe: Recipe, **known: Any) -> CheckpointInfo:
    return CheckpointInfo(step=0, images_seen=0, recipe=recipe.model_dump(mode="json"), **known)


def count_parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
