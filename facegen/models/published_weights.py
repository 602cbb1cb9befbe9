"""Weights of the published feature networks: where they are, how they get there, and safe reading.

A file of weights is data: it is read with `weights_only=True` (or as safetensors), so that a pickle
that would run code is refused.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError, MissingModelError
from facegen.formats.files import sha256_of, storage_errors
from facegen.formats.model_folders import refuse_pointer
from facegen.models.download import download
from facegen.protocols import Progress

OFFLINE_HINT = (
    "Offline, judge with a classifier trained by facegen instead: --features classifier:RUN "
    "(facegen train --preset attribute-classifier --data DATASET --run RUN)."
)


@dataclass(frozen=True)
class PublishedWeights:
    """A file on the net: its address, its sha256, and its name in torch's cache (None: as in the address)."""

    url: str
    sha256: str
    cache_name: str | None = None

    @property
    def file_name(self) -> str:
        return self.cache_name or self.url.rpartition("/")[2]

    @property
    def cached(self) -> Path:
        """Where torch.hub, torchvision and torch-fidelity keep the file."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name

    @property
    def fetch_command(self) -> str:
        """The command that puts it there."""
        return f"curl -L --create-dirs -o {self.cached} {self.url}"

    def check(self) -> None:
        """Compare the cached file with the published one.

        Raises:
            DataError: it is another file, or only a part; names both checksums.
        """
        found = sha256_of(self.cached)
        if found != self.sha256:
            raise DataError(
                f"'{self.cached}' is not the published file: its sha256 is {found}, not {self.sha256}.",
                hint=f"Remove it and fetch it again:\n  {self.fetch_command}",
            )


PUBLISHED_VGG16 = PublishedWeights(
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
PUBLISHED_LPIPS = PublishedWeights(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)


def locate_weights(what: str, published: PublishedWeights, given: Path | None, progress: Progress) -> Path:
    """The file given with `--weights`, else the cached one, else a fresh download.

    A download that breaks off is tried again, and stands in the cache whole and checked or not at all.

    Raises:
        MissingModelError: the given file is not there, or the download failed; says how to get it.
        DataError: the downloaded file is not the published one.
        StorageError: the disk is full or may not be written.
    """
    hint = (
        f"With a connection, fetch them:\n  {published.fetch_command}\n"
        f"or give the file by --weights PATH. {OFFLINE_HINT}"
    )
    if given is not None:
        if not given.is_file():
            raise MissingModelError(f"--weights '{given}' does not exist.", hint=hint)
        return given
    if not published.cached.is_file():
        progress.say(f"Downloading the {what} weights from {published.url}")
        try:
            with storage_errors(published.cached):
                download(published.url, published.sha256, published.cached)
        except ConnectionError as error:
            raise MissingModelError(
                f"The {what} weights are neither in '{published.cached}' nor downloadable now ({error}).",
                hint=hint,
            ) from error
        except ValueError as error:
            raise DataError(f"What {published.url} gave is not the published file: {error}") from error
    return published.cached


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` or torch file, without running anything the file holds.

    Raises:
        DataError: not a file of tensors, or one that would run code.
    """
    state = read_torch(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"'{path}' is not a state dict (a mapping of names to tensors).")
    return state


def read_torch(path: Path) -> Any:
    """What a `.safetensors` or torch file holds: tensors, numbers and names, in lists and mappings.

    Raises:
        DataError: not readable, a pointer to a file that was not fetched, or one that would run code.
    """
    refuse_pointer(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"'{path}' holds more than tensors, so it was not loaded: such a file can run code.",
            hint="Use the published file, or save the tensors alone (safetensors).",
        ) from error
    except Exception as error:
        raise DataError(f"'{path}' is not a readable file of weights: {error}.") from error
