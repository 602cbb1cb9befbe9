"""Reading parquet files of images: the labels of a whole file, and its pictures a few rows at a time."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facegen.datasets._sources import MAX_FILE_BYTES
from facegen.errors import DataError

_BATCH_ROWS = 32
_KEPT_BYTES = 1 << 30  # decoded rows kept, for readers that run a little ahead of one another
_OPEN_FILES = 4


def read_schema(path: Path) -> tuple[pa.Schema, int]:
    """A file's columns and its number of rows.

    Raises:
        DataError: not a parquet file.
    """
    with _naming(path):
        file = pq.ParquetFile(path)
        return file.schema_arrow, file.metadata.num_rows


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a file; "image.path" is one field of a struct. Columns that it lacks are left out.

    Raises:
        DataError: not a parquet file, or damaged.
    """
    with _naming(path):
        file = pq.ParquetFile(path)
        there = set(file.schema_arrow.names)
        return file.read(columns=[name for name in columns if name in there or name.split(".")[0] in there])


def stored_features(schema: pa.Schema) -> dict[str, Any]:
    """The features that the `datasets` library wrote into a schema: column -> description."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info.get("info", {}).get("features") or {}
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


class ImageReader:
    """Image bytes by file and row. Rows may be asked for by several threads, about in order.

    Only some rows of an image column are in memory at a time, whatever the size of a row group.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, _Rows] = OrderedDict()

    def load(self, path: Path, row: int) -> bytes:
        """The bytes of the picture in `row` of `path`.

        Raises:
            DataError: the row holds no picture, or one larger than 256 MiB.
        """
        with self._lock, _naming(path):
            rows = self._open.pop(path, None) or _Rows(path, self._column)
            self._open[path] = rows
            while len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
            cell = rows.cell(row)
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None:
            raise DataError("the row holds no picture (perhaps a path into another archive)")
        if len(data) > MAX_FILE_BYTES:
            raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        return data


class _Rows:
    """The cells of one column, decoded in short batches as they are asked for."""

    def __init__(self, path: Path, column: str) -> None:
        self._file = pq.ParquetFile(path)
        in_struct = pa.types.is_struct(self._file.schema_arrow.field(column).type)
        self._columns = [f"{column}.bytes"] if in_struct else [column]
        self._starts = [0]  # first row of each row group, and the end
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._kept: OrderedDict[int, pa.Array] = OrderedDict()
        self._group, self._next = -1, 0
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def cell(self, row: int) -> Any:
        for start, batch in reversed(self._kept.items()):
            if start <= row < start + len(batch):
                return batch[row - start].as_py()
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next:
            self._group, self._next = group, self._starts[group]
            self._batches = self._file.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=self._columns, use_threads=False
            )
        while True:
            batch = next(self._batches).column(0)
            start, self._next = self._next, self._next + len(batch)
            if row < self._next:
                self._keep(start, batch)
                return batch[row - start].as_py()

    def _keep(self, start: int, batch: pa.Array) -> None:
        self._kept[start] = batch
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise DataError(f"'{path.name}' cannot be read as parquet: {error}.") from error
