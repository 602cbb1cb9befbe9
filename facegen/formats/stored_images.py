"""The pictures of a split, one by one: found in parquet files by memory map, decoded, and kept for training.

Parquet is read by row groups. A PNG that was written uncompressed stands in its file as it is, so that once a
group has been read, each of its pictures is known by its place: any later one costs its own decoding only.
Groups of compressed pictures, which older versions and other tools write, are read whole each time.

Letters: N images, H/W pixels.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegen.formats.images import decode_square

KEPT_BYTES = 2 << 30  # of decoded images that a split keeps for training


class StoredImages:
    """The images of `files`, by row over all of them, as uint8 (3, H, W) with H = W = `size`."""

    def __init__(self, files: Sequence[tuple[Path, Any]], size: int) -> None:
        self._groups = [
            (number, group) for number, (_, file) in enumerate(files) for group in range(file.num_row_groups)
        ]
        counts = [files[number][1].metadata.row_group(group).num_rows for number, group in self._groups]
        self._files, self._size = files, size
        self._starts = np.cumsum([0, *counts])
        self._maps: dict[int, mmap.mmap] = {}
        self._places: dict[int, np.ndarray | None] = {}  # by group: start and end of each PNG in its file
        self._slots = np.full(len(self), -1, dtype=np.int32)
        self._kept = np.empty((0, 3, size, size), dtype=np.uint8)
        self._num_kept = 0

    def __len__(self) -> int:
        return int(self._starts[-1])

    def images(self, rows: np.ndarray, *, keep: bool) -> np.ndarray:
        """The images of `rows` (N,) int64, uint8 (N, 3, H, W); with `keep` the first 2 GiB stay in memory.

        What is kept stays: with every epoch asking for each image once, that is as good as any other choice.

        Raises:
            OSError, pa.ArrowException, DataError, KeyError: the files are damaged.
        """
        out = np.empty((len(rows), 3, self._size, self._size), dtype=np.uint8)
        slots = self._slots[rows]
        here = slots >= 0
        out[here] = self._kept[slots[here]]
        missing = np.flatnonzero(~here)
        if not missing.size:
            return out
        group_of = self._starts.searchsorted(rows[missing], side="right") - 1
        for group in np.unique(group_of):
            places = missing[group_of == group]
            inside = rows[places] - self._starts[group]
            for place, png in zip(places, self._pngs(int(group), inside), strict=True):
                out[place] = decode_square(png, self._size)
        if keep:
            self._keep(rows[missing], out[missing])
        return out

    def _pngs(self, group: int, rows: np.ndarray) -> list[bytes]:
        """PNG bytes of `rows` of a group."""
        cells = None
        if group not in self._places:
            cells = self._read(group)
            self._places[group] = self._found(group, cells)
        places = self._places[group]
        if places is None:
            cells = self._read(group) if cells is None else cells
            return [cells[row] for row in rows]
        file = self._mapped(self._groups[group][0])
        return [file[start:end] for start, end in places[rows]]

    def _read(self, group: int) -> list[bytes]:
        number, of_file = self._groups[group]
        table = self._files[number][1].read_row_group(of_file, columns=["image"])
        return [cell["bytes"] for cell in table["image"].to_pylist()]

    def _found(self, group: int, cells: Sequence[bytes]) -> np.ndarray | None:
        """Where each of `cells` stands in the file, (N, 2) int64; None if one does not."""
        number, of_file = self._groups[group]
        columns = self._files[number][1].metadata.row_group(of_file)
        described = (columns.column(index) for index in range(columns.num_columns))
        column = next(one for one in described if one.path_in_schema == "image.bytes")
        if column.compression != "UNCOMPRESSED":
            return None
        file = self._mapped(number)
        first = column.dictionary_page_offset or column.data_page_offset
        places, after = np.empty((len(cells), 2), dtype=np.int64), first
        for index, png in enumerate(cells):
            start = file.find(png, after, first + column.total_compressed_size)
            if start < 0:  # a dictionary, in which two equal pictures stand once
                return None
            after = start + len(png)
            places[index] = start, after
        return places

    def _mapped(self, number: int) -> mmap.mmap:
        if number not in self._maps:
            with self._files[number][0].open("rb") as file:
                self._maps[number] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[number]

    def _keep(self, rows: np.ndarray, images: np.ndarray) -> None:
        room = min(len(self), KEPT_BYTES // (3 * self._size**2))
        if not len(self._kept):
            self._kept = np.empty(
                (room, 3, self._size, self._size), dtype=np.uint8
            )  # pages come when written
        rows, first = np.unique(rows, return_index=True)
        taken = min(len(rows), room - self._num_kept)
        slots = np.arange(self._num_kept, self._num_kept + taken)
        self._kept[slots] = images[first[:taken]]
        self._slots[rows[:taken]] = slots
        self._num_kept += taken
