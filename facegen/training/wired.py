"""What every wiring of `facegen train` shares: the wired task, its data, and what its checkpoints say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegen.config.recipe import Recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import CheckpointInfo
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.run import RunDirectory
from facegen.protocols import TrainingTask
from facegen.training.checkpointing import ModelCard
from facegen.training.trainer import Preview


@dataclass(frozen=True)
class WiredTask:
    """A task ready for the trainer; `make_preview` gives its preview once the run folder is there."""

    task: TrainingTask
    card: ModelCard
    make_preview: Callable[[RunDirectory, torch.device], Preview] | None = None


def open_latents(recipe: Recipe) -> LatentStore:
    """The latents a denoising recipe names, every checksum compared.

    Raises:
        UsageError: `data.path` is not set.
        DataError: not there, or a data set that has not been encoded yet.
        StorageError: names the shard that is missing, cut or altered.
    """
    path = data_path(recipe, "a latent folder")
    if not (path / INDEX_FILE).is_file() and (path / MANIFEST_NAME).is_file():
        raise DataError(
            f"'{path}' is a data set of images; this recipe trains its denoiser on latents.",
            hint=f"Encode it first: facegen encode {path} --autoencoder NAME_OR_PATH --out LATENTS\n"
            "or train on the pixels themselves: --set autoencoder.kind=identity",
        )
    return LatentStore.open(path, verify=True)


def open_dataset(recipe: Recipe) -> Dataset:
    """The data set of images that a recipe names.

    Raises:
        UsageError: `data.path` is not set.
        DataError: not there, or a folder of latents.
    """
    path = data_path(recipe, "a data set of images")
    if not (path / MANIFEST_NAME).is_file() and (path / INDEX_FILE).is_file():
        raise DataError(
            f"'{path}' is a folder of latents; this recipe is trained on images.",
            hint="Give the data set that 'facegen prepare' wrote.",
        )
    return Dataset.open(path)


def data_path(recipe: Recipe, what: str) -> Path:
    """The folder that `data.path` names.

    Raises:
        UsageError: it is not set.
        DataError: it is not there.
    """
    if recipe.data.path is None:
        raise UsageError(
            f"The recipe names no data; its task '{recipe.task['kind']}' needs {what}.",
            hint="Give it with --data DIR.",
        )
    path = Path(recipe.data.path).expanduser()
    if not path.is_dir():
        raise DataError(f"'{path}' does not exist; expected {what}.", hint="Give it with --data DIR.")
    return path


def blank_info(recipe: Recipe, **known: Any) -> CheckpointInfo:
    """What all checkpoints of a run say, before the first step."""
    return CheckpointInfo(step=0, images_seen=0, recipe=recipe.model_dump(mode="json"), **known)
