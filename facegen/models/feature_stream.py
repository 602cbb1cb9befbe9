"""Features on their way: kept in parts as they come, and in the end one file that no memory has to hold.

FOLDER/000000000.safetensors, 000001024.safetensors, ...     `features` (n, D) from that image on
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from facegen.formats.files import atomic_write

NAME = "features"


class Stream:
    """Parts in a folder. A part is there whole or not at all, so that whoever is killed loses one at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def length(self) -> int:
        """How many images are kept without a gap; what a damaged part holds is looked at again."""
        return sum(length for _, length, _ in self._parts())

    def add(self, start: int, features: Tensor) -> None:
        """Keep float32 features (n, D) of the images from number `start` on.

        Raises:
            StorageError: the disk is full or may not be written to.
        """
        atomic_write(self._path(start), save({NAME: features.contiguous()}))

    def finish(self, path: Path) -> None:
        """Write all parts to `path` as one tensor, one after another, and let go of them.

        Raises:
            StorageError: the disk is full or may not be written to.
        """
        parts = list(self._parts())
        rows, width = sum(length for _, length, _ in parts), parts[0][2]
        size = 4 * rows * width
        told = {NAME: {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, size]}}
        head = json.dumps(told).encode()
        head += b" " * (-len(head) % 8)

        def write(file: IO[bytes]) -> None:
            file.write(struct.pack("<Q", len(head)) + head)
            for part, _, _ in parts:
                file.write(load_file(part)[NAME].numpy().tobytes())

        atomic_write(path, write)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:09d}.safetensors"

    def _parts(self) -> Iterator[tuple[Path, int, int]]:
        """Each part without a gap, with its numbers of images and of features."""
        start = 0
        while True:
            path = self._path(start)
            try:
                with safe_open(path, "pt") as file:
                    rows, width = file.get_slice(NAME).get_shape()
            except FileNotFoundError:
                return
            except (SafetensorError, OSError, ValueError):
                path.unlink(missing_ok=True)
                return
            yield path, rows, width
            start += rows
