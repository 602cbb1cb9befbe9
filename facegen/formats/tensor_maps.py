"""Tensors of a safetensors file without reading it: views of one memory map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from facegen.errors import StorageError


def map_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a safetensors file as views of one memory map, and its metadata.

    The map is private, so nothing written to a tensor reaches the file.

    Raises:
        StorageError: missing, truncated or not safetensors.
    """
    try:
        opened: Any = safe_open(path, framework="pt")  # its own stub says nothing of what it holds
        with opened as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"'{path}' is missing or damaged: {error}.", hint="Encode the data set again."
        ) from error
