"""Features and statistics of images, computed once and kept between evaluations.

    $FACEGEN_CACHE (else $XDG_CACHE_HOME/facegen, else ~/.cache/facegen)/features/<key>.safetensors

The key is a hash of everything that the content depends on: the extractor's fingerprint, and for real images
the data set's, the split and the rows; for a folder the hash of its files; for a run its weights, settings,
conditions, seeds and the code that draws. Deleting the folder costs time and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from facegen.errors import StorageError
from facegen.formats.files import atomic_write, sha256_of
from facegen.protocols import Progress

CACHE_FORMAT_VERSION = 1


def cache_folder() -> Path:
    """Where facegen keeps what it can compute again."""
    if named := os.environ.get("FACEGEN_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegen"


def cached_tensors(
    key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]], progress: Progress
) -> dict[str, Tensor]:
    """The tensors kept under `key`, or those of `compute()`, which are then kept.

    A damaged file is computed anew, and a cache that cannot be written is only warned about.
    """
    digest = sha256_of(json.dumps({**key, "format": CACHE_FORMAT_VERSION}, sort_keys=True).encode())
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
