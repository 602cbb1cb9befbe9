"""Checkpoints: a folder that is whole or is not there, and that is enough to sample from.

    step-00010000/
      model.safetensors     the trained weights
      ema.safetensors       their exponential moving average (absent when EMA is off)
      weak.safetensors      the averaged weights of early in the run, where it keeps them for autoguidance
      training_state.pt     optimizer, scaler and counters; loads with `weights_only=True`
                            (absent, as `model.safetensors` is, where `facegen ema` made the average)
      autoencoder/          hard links to the autoencoder of the latents, if they carried one
      checkpoint.json       `CheckpointInfo` with the sha256 of every other file and its own; written last

A checkpoint is a `whole_folder`. A killed save leaves a hidden folder behind, which nothing reads and
`facegen.formats.checkpoint_head.clean_leftovers` removes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from facegen.config.documents import parse_json
from facegen.errors import DataError, FacegenError, MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint_head import (
    CHECKPOINT_FORMAT_VERSION,
    INFO_FILE,
    Ranking,
    best_of,
    deciding,
    list_checkpoints,
    read_info,
)
from facegen.formats.far import fetched, near
from facegen.formats.files import WRONG_CONTENT, saving, sha256_of, whole_folder
from facegen.formats.plain import from_plain
from facegen.types import LabelSchema, LatentScaling

STATE_FILE = "training_state.pt"
WEAK_FILE = "weak.safetensors"
OWN_CHECKSUM = "own_sha256"  # of everything else in `INFO_FILE`
AUTOENCODER_FOLDER = "autoencoder"

Weights = Literal["model", "ema"]
Stored = Literal["model", "ema", "weak"]


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint is: where training stood, and everything that sampling needs beside the weights.

    `metrics` is the validation made at this very step (empty if there was none); its "loss" decides which
    checkpoint is best, unless the recipe names a score for that, which is then `chosen` (None where none was
    made at this step). `scores` are all that were made, by name. `autoencoder` is the reference the latents
    carried, as JSON. `ema_width` is the relative width of an average that was made after training.
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
    ema_width: float | None = None
    scores: dict[str, float] = field(default_factory=dict[str, float])
    chosen: Ranking | None = None
    files: dict[str, str] = field(default_factory=dict[str, str])  # relative name -> sha256

    @property
    def task(self) -> str:
        """The kind of task that was trained: "denoising", "autoencoding", ..."""
        return str(self.recipe["task"]["kind"])

    @property
    def ranking(self) -> Ranking | None:
        """The finite number that decides whether this checkpoint is best; None if it was not measured."""
        return deciding(self.recipe, self.metrics, self.chosen)

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
        folder = fetched(self.folder / AUTOENCODER_FOLDER)
        return folder if folder.is_dir() else None

    def weights(self, which: Weights = "ema") -> dict[str, Tensor]:
        """The state dict of the averaged weights ("ema", the plain ones if EMA was off) or the plain ones.

        Raises:
            UsageError: plain weights asked of an average made after training.
            StorageError: the file is missing, cut or altered.
        """
        return self._tensors(self._weights_file(which))

    def for_use(self, which: Weights = "ema") -> Checkpoint:
        """The same without what training alone needs, with one kind of weights; every file was checked.

        Raises:
            UsageError, StorageError: as `weights`.
        """
        mine = {self._weights_file(which), WEAK_FILE}
        kept = {
            name: digest
            for name, digest in self.info.files.items()
            if name in mine or name.startswith(f"{AUTOENCODER_FOLDER}/")
        }
        for name in kept:
            self._verified(name)
        return replace(self, info=replace(self.info, files=kept))

    def _weights_file(self, which: Weights) -> str:
        if self.info.ema_width is not None and which == "model":
            raise UsageError(
                f"'{self.folder}' is an average made after training: it has no weights as trained.",
                hint="Leave out --weights model, or name the run.",
            )
        name = "ema.safetensors" if which == "ema" and self.has_ema else "model.safetensors"
        if which == "model" and self.has_ema and name not in self.info.files:  # those of a checkpoint for use
            raise UsageError(
                f"'{self.folder}' has averaged weights alone.", hint="Leave out --weights model."
            )
        return name

    def weak_weights(self) -> dict[str, Tensor] | None:
        """The averaged weights of early in the run; None where it does not keep them, or was not there yet.

        Raises:
            StorageError: the file is missing, cut or altered.
        """
        return self._tensors(WEAK_FILE) if WEAK_FILE in self.info.files else None

    def _tensors(self, name: str) -> dict[str, Tensor]:
        path = self._verified(name)
        try:
            return load_file(path)
        except (SafetensorError, *WRONG_CONTENT) as error:
            raise StorageError(f"Checkpoint file '{path}' is unreadable: {error}.") from error

    def training_state(self) -> dict[str, Any]:
        """Optimizer state and counters, for resuming.

        Raises:
            UsageError: it never had one, as one for use alone.
            StorageError: the file is missing, cut or altered.
        """
        if STATE_FILE not in self.info.files:
            raise UsageError(
                f"'{self.folder}' is for use alone: training cannot go on with it.",
                hint="Begin a run of its own with these weights: facegen train ... --from RUN",
            )
        path = self._verified(STATE_FILE)
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except FacegenError:  # a signal's
            raise
        except Exception as error:  # damage shows in as many ways as the format has parts
            raise StorageError(f"'{path}' is not a training state; nothing in it was executed.") from error

    def verify(self) -> None:
        """Check every file against its sha256.

        Raises:
            StorageError: names the first file that is missing or altered.
        """
        self.verify_info()
        for name in self.info.files:
            self._verified(name)

    def verify_info(self) -> None:
        """Check `checkpoint.json` alone against the sha256 that it carries.

        Raises:
            StorageError: it was altered.
        """
        file = self.folder / INFO_FILE
        try:
            told = parse_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(f"Checkpoint file '{file}' is corrupt: {error}.") from error
        if told.pop(OWN_CHECKSUM, None) not in (None, _checksum(told)):  # earlier checkpoints have none
            raise StorageError(f"Checkpoint file '{file}' is corrupt: its checksum does not match.")

    def _verified(self, name: str) -> Path:
        path = fetched(self.folder / name)
        if not path.is_file():
            raise StorageError(f"Checkpoint file '{path}' is missing.")
        if sha256_of(path) != self.info.files.get(name):
            raise StorageError(f"Checkpoint file '{path}' is corrupt: its checksum does not match.")
        return path


def load_checkpoint(path: Path, which: Literal["best", "latest"] = "best") -> Checkpoint:
    """Open a checkpoint folder, or the best or latest one of a run. Reads `checkpoint.json` alone.

    Raises:
        MissingModelError: neither a run with checkpoints nor a checkpoint.
        StorageError: `checkpoint.json` is unreadable or of an unknown format version.
    """
    folder = resolve_checkpoint(path, which)
    file = folder / INFO_FILE
    try:
        info = from_plain(CheckpointInfo, read_info(folder), file)
        sizes = (*(info.sample_shape or ()), info.image_size or 1)
        if not info.task or not isinstance(info.recipe.get("scoring", {}), dict | None) or min(sizes) < 1:
            raise StorageError(f"Checkpoint file '{file}' is corrupt: it describes no model.")
        return Checkpoint(folder, info)
    except (OSError, ValueError, AttributeError, LookupError, TypeError, DataError) as error:
        raise StorageError(f"Checkpoint file '{file}' is corrupt: {error!r}.") from error


def resolve_checkpoint(path: Path, which: Literal["best", "latest"] = "best") -> Path:
    """Folder of the checkpoint meant by `path`: itself, or the best or latest one of a run.

    Best is the lowest validation loss, or by the score that the recipe chose; a run in which that was never
    measured gives its latest.

    Raises:
        MissingModelError: neither a run with checkpoints nor a checkpoint.
    """
    path = near(path)
    if (path / INFO_FILE).is_file():
        return path
    found = list_checkpoints(path)
    if not found:
        raise MissingModelError(
            f"'{path}' holds no checkpoint: there is no '{INFO_FILE}' and no 'checkpoints/step-*' in it.",
            hint="Give a run folder made by 'facegen train', or one of its checkpoint folders.",
        )
    if which == "best":
        return best_of((folder, ranking_of(folder)) for folder in found) or found[-1]
    return found[-1]


def ranking_of(folder: Path) -> Ranking | None:
    """What decides whether a checkpoint is best; None if that was not measured, or cannot be read."""
    with suppress(StorageError, MissingModelError):
        return load_checkpoint(folder).info.ranking
    return None


def save_checkpoint(
    folder: Path,
    info: CheckpointInfo,
    weights: Mapping[Stored, Mapping[str, Tensor]],
    training_state: Mapping[str, Any] | None,
    autoencoder: Path | None = None,
) -> Checkpoint:
    """Write a checkpoint at `folder`, which becomes visible whole or not at all; replaces an older one.

    Without a `training_state` it is for use alone: nothing resumes from it.

    Raises:
        StorageError: the disk is full or cannot be written to; nothing half-written stays.
    """
    replaced = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
    with saving(f"the checkpoint '{folder}'"), whole_folder(folder) as temporary:
        info = replace(info, files=_write_contents(temporary, weights, training_state, autoencoder))
        (temporary / INFO_FILE).write_text(info_text(info), encoding="utf-8")
        if folder.exists():  # a step saved again, after falling back from a corrupt checkpoint
            folder.rename(replaced)
    shutil.rmtree(replaced, ignore_errors=True)
    return Checkpoint(folder, info)


def info_text(info: CheckpointInfo) -> str:
    """`checkpoint.json`, with its own checksum."""
    told = info.to_json()
    return json.dumps({**told, OWN_CHECKSUM: _checksum(told)}, indent=1)


def _checksum(told: Mapping[str, Any]) -> str:
    return sha256_of(json.dumps(told, sort_keys=True).encode())


def _write_contents(
    folder: Path,
    weights: Mapping[Stored, Mapping[str, Tensor]],
    training_state: Mapping[str, Any] | None,
    autoencoder: Path | None,
) -> dict[str, str]:
    for name, state in weights.items():
        save_file(_unshared(state), folder / f"{name}.safetensors", metadata={"format": "pt"})
    files = [f"{name}.safetensors" for name in weights]
    if training_state is not None:
        _save_state(folder / STATE_FILE, training_state)
        files.append(STATE_FILE)
    if autoencoder is not None:
        linked = _link_tree(autoencoder, folder / AUTOENCODER_FOLDER)
        files += [f"{AUTOENCODER_FOLDER}/{name}" for name in linked]
    return {name: sha256_of(folder / name) for name in files}


def _save_state(path: Path, training_state: Mapping[str, Any]) -> None:
    try:
        with open(path, "wb") as stream:
            torch.save(_one_of_each_text(training_state, {}), stream)
    except RuntimeError as error:  # torch's closing of the archive hides why writing it failed
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _one_of_each_text(value: Any, known: dict[str, str]) -> Any:
    """The same data, in which equal texts are one object: pickle writes the second one as a reference, and so
    a state that was read and goes on has the bytes of one that was never interrupted."""
    if isinstance(value, str):
        return known.setdefault(value, value)
    if isinstance(value, Mapping):
        parts = cast("Mapping[Any, Any]", value)
        return {_one_of_each_text(key, known): _one_of_each_text(one, known) for key, one in parts.items()}
    if type(value) in (list, tuple):
        return type(value)(_one_of_each_text(one, known) for one in value)
    return value


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
