"""Reading parquet files of images: the labels of a whole file, and its pictures a few rows at a time."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facegen.datasets._tree import MAX_FILE_BYTES
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
        table = pq.ParquetFile(path).read(columns=list(columns))
        table.validate(full=True)
        return table


class ImageReader:
    """Image bytes by file and row. Rows may be asked for by several threads, about in order.

    Only some rows of an image column are in memory at a time, whatever the size of a row group.
    """

    def __init__(self, column: str) -> None:
        self._lock = threading.Lock()
        self._rows_of = lru_cache(_OPEN_FILES)(lambda path: _Rows(path, column))

    def load(self, path: Path, row: int) -> bytes:
        """The bytes of the picture in `row` of `path`.

        Raises:
            DataError: the row holds no picture, or one larger than 256 MiB.
        """
        with self._lock, _naming(path):
            cell = self._rows_of(path).cell(row)
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
        groups = map(self._file.metadata.row_group, range(self._file.num_row_groups))
        self._starts = [0, *accumulate(group.num_rows for group in groups)]  # of row groups, and the end
        self._kept: deque[tuple[int, pa.Array]] = deque()  # first row, cells
        self._group, self._next = -1, 0
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def cell(self, row: int) -> Any:
        for start, batch in reversed(self._kept):
            if start <= row < start + len(batch):
                return batch[row - start].as_py()
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next:
            self._group, self._next = group, self._starts[group]
            self._batches = self._file.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=self._columns, use_threads=False
            )
        start, batch = self._next, pa.array([])
        while row >= self._next:
            start, batch = self._next, next(self._batches).column(0)
            self._next += len(batch)
        self._kept.append((start, batch))
        while len(self._kept) > 1 and sum(kept.nbytes for _, kept in self._kept) > _KEPT_BYTES:
            self._kept.popleft()
        return batch[row - start].as_py()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, StopIteration, UnicodeDecodeError) as error:
        raise DataError(f"'{path.name}' cannot be read as parquet: {error}.") from error
