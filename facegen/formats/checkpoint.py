"""Checkpoints: a folder that is whole or is not there, and that is enough to sample from.

    step-00010000/
      model.safetensors     the trained weights
      ema.safetensors       their exponential moving average (absent when EMA is off)
      training_state.pt     optimizer, scaler and counters; loads with `weights_only=True`
      autoencoder/          hard links to the autoencoder of the latents, if they carried one
      checkpoint.json       `CheckpointInfo` with the sha256 of every other file; written last

A checkpoint is a `whole_folder`. A killed save leaves a hidden folder behind, which nothing reads and
`clean_leftovers` removes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from facegen.errors import DataError, MissingModelError, StorageError
from facegen.formats.files import saving, sha256_of, whole_folder
from facegen.formats.plain import from_plain
from facegen.types import LabelSchema, LatentScaling

CHECKPOINT_FORMAT_VERSION = 1
INFO_FILE = "checkpoint.json"
STATE_FILE = "training_state.pt"
AUTOENCODER_FOLDER = "autoencoder"

Weights = Literal["model", "ema"]


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint is: where training stood, and everything that sampling needs beside the weights.

    `metrics` is the validation made at this very step (empty if there was none); its "loss" decides which
    checkpoint is best. `autoencoder` is the reference the latents carried, as JSON.
    """

    step: int
    images_seen: int
    recipe: dict[str, Any]
    labels: LabelSchema = field(default_factory=LabelSchema)
    sample_shape: tuple[int, ...] | None = None
    scaling: LatentScaling | None = None
    image_size: int | None = None
    autoencoder: dict[str, Any] | None = None
    data_fingerprint: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    files: dict[str, str] = field(default_factory=dict[str, str])  # relative name -> sha256

    @property
    def task(self) -> str:
        """The kind of task that was trained: "denoising", "autoencoding", ..."""
        return str(self.recipe["task"]["kind"])

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON: format version, step, images and task before the other fields."""
        head = {"step": self.step, "images_seen": self.images_seen, "task": self.task}
        return {"format_version": CHECKPOINT_FORMAT_VERSION, **head, **asdict(self)}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. Files are checked against their sha256 when they are read."""

    folder: Path
    info: CheckpointInfo

    @property
    def has_ema(self) -> bool:
        return "ema.safetensors" in self.info.files

    @property
    def autoencoder_folder(self) -> Path | None:
        """The autoencoder the checkpoint carries, or None if it is only referenced by name."""
        folder = self.folder / AUTOENCODER_FOLDER
        return folder if folder.is_dir() else None

    def weights(self, which: Weights = "ema") -> dict[str, Tensor]:
        """The state dict of the averaged weights ("ema", the plain ones if EMA was off) or the plain ones.

        Raises:
            StorageError: the file is missing, cut or altered.
        """
        name = "ema.safetensors" if which == "ema" and self.has_ema else "model.safetensors"
        path = self._verified(name)
        try:
            return load_file(path)
        except SafetensorError as error:
            raise StorageError(f"Checkpoint file '{path}' is unreadable: {error}.") from error

    def training_state(self) -> dict[str, Any]:
        """Optimizer state and counters, for resuming.

        Raises:
            StorageError: the file is missing, cut or altered.
        """
        path = self._verified(STATE_FILE)
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            raise StorageError(f"'{path}' is not a training state; nothing in it was executed.") from error

    def verify(self) -> None:
        """Check every file against its sha256.

        Raises:
            StorageError: names the first file that is missing or altered.
        """
        for name in self.info.files:
            self._verified(name)

    def _verified(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise StorageError(f"Checkpoint file '{path}' is missing.")
        if sha256_of(path) != self.info.files.get(name):
            raise StorageError(f"Checkpoint file '{path}' is corrupt: its checksum does not match.")
        return path


def checkpoint_name(step: int) -> str:
    """Folder name of a step's checkpoint, e.g. `step-00010000`."""
    return f"step-{step:08d}"


def list_checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first; half-written ones are not among them."""
    return sorted(info.parent for info in (run / "checkpoints").glob(f"step-*/{INFO_FILE}"))


def load_checkpoint(path: Path, which: Literal["best", "latest"] = "best") -> Checkpoint:
    """Open a checkpoint folder, or the best or latest one of a run. Reads `checkpoint.json` alone.

    Raises:
        MissingModelError: neither a run with checkpoints nor a checkpoint.
        StorageError: `checkpoint.json` is unreadable or of an unknown format version.
    """
    folder = resolve_checkpoint(path, which)
    file = folder / INFO_FILE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        version = data.get("format_version")
        if version != CHECKPOINT_FORMAT_VERSION:
            raise StorageError(
                f"'{file}' has format version {version}; this facegen reads {CHECKPOINT_FORMAT_VERSION}."
            )
        return Checkpoint(folder, from_plain(CheckpointInfo, data, file))
    except (OSError, ValueError, AttributeError, DataError) as error:
        raise StorageError(f"Checkpoint file '{file}' is corrupt: {error!r}.") from error


def resolve_checkpoint(path: Path, which: Literal["best", "latest"] = "best") -> Path:
    """Folder of the checkpoint meant by `path`: itself, or the best or latest one of a run.

    Best is the lowest validation loss; a run that never validated gives its latest.

    Raises:
        MissingModelError: neither a run with checkpoints nor a checkpoint.
    """
    path = Path(path)
    if (path / INFO_FILE).is_file():
        return path
    found = list_checkpoints(path)
    if not found:
        raise MissingModelError(
            f"'{path}' holds no checkpoint: there is no '{INFO_FILE}' and no 'checkpoints/step-*' in it.",
            hint="Give a run folder made by 'facegen train', or one of its checkpoint folders.",
        )
    if which == "best":
        scored = [(loss, folder) for folder in found if (loss := validation_loss(folder)) is not None]
        if scored:
            return min(scored, key=lambda item: item[0])[1]
    return found[-1]


def validation_loss(folder: Path) -> float | None:
    """The validation loss of a checkpoint; None if it has none, is not finite, or cannot be read."""
    with suppress(StorageError, MissingModelError):
        loss = load_checkpoint(folder).info.metrics.get("loss")
        return None if loss is None or not math.isfinite(loss) else float(loss)
    return None


def save_checkpoint(
    folder: Path,
    info: CheckpointInfo,
    weights: Mapping[Weights, Mapping[str, Tensor]],
    training_state: Mapping[str, Any],
    autoencoder: Path | None = None,
) -> Checkpoint:
    """Write a checkpoint at `folder`, which becomes visible whole or not at all; replaces an older one.

    Raises:
        StorageError: the disk is full or cannot be written to; nothing half-written stays.
    """
    replaced = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
    with saving(f"the checkpoint '{folder}'"), whole_folder(folder) as temporary:
        info = replace(info, files=_write_contents(temporary, weights, training_state, autoencoder))
        (temporary / INFO_FILE).write_text(json.dumps(info.to_json(), indent=1), encoding="utf-8")
        if folder.exists():  # a step saved again, after falling back from a corrupt checkpoint
            folder.rename(replaced)
    shutil.rmtree(replaced, ignore_errors=True)
    return Checkpoint(folder, info)


def clean_leftovers(run: Path) -> list[str]:
    """Remove what killed saves left behind; returns the names. Only for the holder of the run's lock."""
    leftovers = sorted((run / "checkpoints").glob(".step-*"))
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in leftovers]


def _write_contents(
    folder: Path,
    weights: Mapping[Weights, Mapping[str, Tensor]],
    training_state: Mapping[str, Any],
    autoencoder: Path | None,
) -> dict[str, str]:
    for name, state in weights.items():
        save_file(_unshared(state), folder / f"{name}.safetensors", metadata={"format": "pt"})
    _save_state(folder / STATE_FILE, training_state)
    files = [*(f"{name}.safetensors" for name in weights), STATE_FILE]
    if autoencoder is not None:
        linked = _link_tree(autoencoder, folder / AUTOENCODER_FOLDER)
        files += [f"{AUTOENCODER_FOLDER}/{name}" for name in linked]
    return {name: sha256_of(folder / name) for name in files}


def _save_state(path: Path, training_state: Mapping[str, Any]) -> None:
    try:
        with open(path, "wb") as stream:
            torch.save(dict(training_state), stream)
    except RuntimeError as error:  # torch's closing of the archive hides why writing it failed
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors, tied weights copied: safetensors refuses shared storage."""
    seen: set[int] = set()
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.numel() and tensor.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.data_ptr())
        result[name] = tensor
    return result


def _link_tree(source: Path, target: Path) -> list[str]:
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / name, target / name)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source / name, target / name)
    return names
