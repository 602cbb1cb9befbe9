"""Weights of the published feature networks: where they are, how they get there, and safe reading.

A file of weights is data: it is read with `weights_only=True` (or as safetensors), so that a pickle
that would run code is refused.
"""

from __future__ import annotations

import pickle
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError, MissingModelError
from facegen.formats.files import atomic_write, sha256_of
from facegen.protocols import Progress

CONNECT_TIMEOUT_SECONDS = 10
CHUNK_BYTES = 1 << 20
OFFLINE_HINT = (
    "Offline, judge with a classifier trained by facegen instead: --features classifier:RUN "
    "(facegen train --preset attribute-classifier --data DATASET --run RUN)."
)


@dataclass(frozen=True)
class PublishedWeights:
    """A file on the net: its address, its name in torch's cache and the start of its sha256."""

    url: str
    file_name: str
    sha256_prefix: str

    @property
    def cached(self) -> Path:
        """Where torch.hub, torchvision and torch-fidelity keep the file."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name


def locate_weights(what: str, published: PublishedWeights, given: Path | None, progress: Progress) -> Path:
    """The file given with `--weights`, else the cached one, else a fresh download.

    Raises:
        MissingModelError: the given file is not there, or the download failed; says how to get it.
        DataError: the downloaded file is not the published one.
    """
    if given is not None:
        if not given.is_file():
            raise MissingModelError(f"--weights '{given}' does not exist.", hint=_fetch_hint(published))
        return given
    if not published.cached.is_file():
        progress.say(f"Downloading the {what} weights from {published.url}")
        _download(what, published)
    return published.cached


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a `.safetensors` or torch file, without running anything the file holds.

    Raises:
        DataError: not a file of tensors, or one that would run code.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"'{path}' holds more than tensors, so it was not loaded: such a file can run code.",
            hint="Use the published file, or save the tensors alone (safetensors).",
        ) from error
    except Exception as error:
        raise DataError(f"'{path}' is not a readable file of weights: {error}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"'{path}' is not a state dict (a mapping of names to tensors).")
    return state


def missing_weights(what: str, published: PublishedWeights, reason: str) -> MissingModelError:
    """The error for weights that cannot be had now, with the command that fetches them."""
    return MissingModelError(
        f"The {what} weights are neither in '{published.cached}' nor downloadable now ({reason}).",
        hint=_fetch_hint(published),
    )


def _fetch_hint(published: PublishedWeights) -> str:
    return (
        f"With a connection, fetch them:\n  curl -L --create-dirs -o {published.cached} {published.url}\n"
        f"or give the file by --weights PATH. {OFFLINE_HINT}"
    )


def _download(what: str, published: PublishedWeights) -> None:
    try:
        with urllib.request.urlopen(published.url, timeout=CONNECT_TIMEOUT_SECONDS) as response:

            def copy(file: Any) -> None:
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)

            partial = published.cached.with_name(f"{published.file_name}.unchecked")
            atomic_write(partial, copy)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise missing_weights(what, published, str(reason)) from error
    if not sha256_of(partial).startswith(published.sha256_prefix):
        partial.unlink()
        raise DataError(f"What {published.url} gave is not the published file: its sha256 differs.")
    partial.replace(published.cached)
