"""Tensors of a safetensors file without reading it: views of one memory map."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegen.errors import StorageError

_DTYPES = {"F16": np.float16, "BOOL": np.bool_}


def map_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a safetensors file as views of one memory map, and its metadata.

    The map is private, so nothing written to a tensor reaches the file. float16 and bool only.

    Raises:
        StorageError: missing, truncated or not safetensors.
    """
    try:
        data = np.memmap(path, mode="c")
        (header_bytes,) = struct.unpack("<Q", data[:8].tobytes())
        header = json.loads(data[8 : 8 + header_bytes].tobytes())
        metadata = header.pop("__metadata__", {})
        body = data[8 + header_bytes :]
        tensors = {name: _view(body, entry) for name, entry in header.items()}
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise StorageError(
            f"'{path}' is missing or damaged: {error}.", hint="Encode the data set again."
        ) from error
    return tensors, metadata


def _view(body: np.ndarray, entry: dict[str, Any]) -> Tensor:
    start, stop = entry["data_offsets"]
    return torch.from_numpy(body[start:stop].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"]))
