"""Features and statistics of images, computed once and kept between evaluations.

    $FACEGEN_CACHE (else $XDG_CACHE_HOME/facegen, else ~/.cache/facegen)/features/<key>.safetensors

The key is a hash of everything that the content depends on: the extractor's fingerprint, and for real images
the data set's, the split and the rows; for a folder the hash of its files; for a run its weights, settings,
conditions and seeds; and the code that all of this goes through. Deleting the folder costs time alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from facegen.errors import StorageError
from facegen.evaluation.code_fingerprint import code_fingerprint, modules_of
from facegen.formats.classifier_run import check_image_size
from facegen.formats.files import atomic_write, sha256_of
from facegen.models.feature_networks import FeatureExtractor
from facegen.protocols import Progress

CACHE_FORMAT_VERSION = 1


def cache_folder() -> Path:
    """Where facegen keeps what it can compute again."""
    if named := os.environ.get("FACEGEN_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegen"


def cached_tensors(
    key: Mapping[str, Any], modules: set[str], compute: Callable[[], dict[str, Tensor]], progress: Progress
) -> dict[str, Tensor]:
    """The tensors kept under `key` and the code of `modules`, or those of `compute()`, which are then kept.

    A damaged file is computed anew, and a cache that cannot be written is only warned about.
    """
    whole = {**key, "code": code_fingerprint({__name__, *modules}), "format": CACHE_FORMAT_VERSION}
    digest = sha256_of(json.dumps(whole, sort_keys=True).encode())
    path = cache_folder() / "features" / f"{digest}.safetensors"
    if path.is_file():
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            progress.warn(f"The cached file '{path}' is damaged ({error}); computing it anew.")
    tensors = compute()
    try:
        atomic_write(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    except (StorageError, OSError) as error:
        progress.warn(f"Features are not kept for next time: {error}")
    return tensors


@dataclass(frozen=True)
class Viewer:
    """A feature network, how many images it is shown at once, and who is told how far it is."""

    extractor: FeatureExtractor
    batch_size: int
    progress: Progress

    @staticmethod
    def of(
        extractor: FeatureExtractor,
        image_size: int,
        batch_size: int | None,
        progress: Progress,
        hint: str | None = None,
    ) -> Viewer:
        """A viewer of images of `image_size` pixels; `batch_size` None takes the network's own.

        Raises:
            UsageError: the network takes another size; `hint` says what to do.
        """
        check_image_size(f"The network of '{extractor.name}'", extractor.image_size, image_size, hint=hint)
        return Viewer(extractor, batch_size or extractor.default_batch_size, progress)

    def features(self, parts: Iterable[Tensor], total: int, title: str) -> Tensor:
        """Features (N, D) of uint8 batches, with a progress bar."""
        features: list[Tensor] = []
        with self.progress.stage(title, total=total) as bar:
            for images in parts:
                features.append(self.extractor(images))
                bar.advance(len(images))
        return torch.cat(features)

    def kept_features(
        self, key: Mapping[str, Any], modules: set[str], parts: Iterable[Tensor], total: int, title: str
    ) -> Tensor:
        """As `features`, from the cache where images of this `key`, made by these `modules`, were seen."""
        whole = {**key, "extractor": self.extractor.fingerprint}
        seen_by = modules | modules_of(self.extractor)
        found = cached_tensors(
            whole, seen_by, lambda: {"features": self.features(parts, total, title)}, self.progress
        )
        return found["features"]
