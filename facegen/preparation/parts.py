"""The work folder of `facegen prepare`: finished parts stand here until the data set is whole.

.NAME.partial/job.json                    what is being made; other work is thrown away
.NAME.partial/parts/part-00000.parquet    prepared images of records 0..1023, in order
.NAME.partial/faces/                      what a kind that searches keeps of its search
.NAME.partial/dataset/                    the finished data set before it is renamed into place
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from facegen.errors import DataError, UsageError
from facegen.formats.dataset import SPLITS
from facegen.formats.dataset_writer import ROWS_PER_GROUP, DatasetWriter
from facegen.formats.files import (
    WORK_SUFFIX,
    atomic_write,
    put_in_place,
    read_json,
    storage_errors,
    write_json,
)
from facegen.preparation.images import ImageJob, PreparedImage, prepare_image
from facegen.protocols import Progress, ProgressTask
from facegen.types import DatasetRecord

RECORDS_PER_PART = 1024
_BATCH = 16
_JOB_VERSION = 2
_FILE_BYTES = 256 << 20
_SCHEMA = pa.schema(
    [
        ("png", pa.binary()),
        ("sha256", pa.string()),
        ("side", pa.int32()),
        ("problem", pa.string()),
        ("mended", pa.string()),
    ]
)


class WorkFolder:
    """Parts of one prepare run, resumable. Use `open_work` to get one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = folder / "dataset"
        self._parts: list[Path] = []

    def begin(self, job: dict[str, Any], num_records: int) -> bool:
        """Take up the work if it is the same job, else start anew; True if there is something to take up."""
        numbers = range(-(-num_records // RECORDS_PER_PART))
        self._parts = [self.folder / "parts" / f"part-{number:05d}.parquet" for number in numbers]
        try:
            same = read_json(self.folder / "job.json", _JOB_VERSION).get("job") == job
        except DataError:
            same = False
        if not same:
            shutil.rmtree(self.folder / "parts", ignore_errors=True)
            write_json(self.folder / "job.json", {"format_version": _JOB_VERSION, "job": job})
        shutil.rmtree(self.dataset, ignore_errors=True)
        return same and any(part.is_file() for part in self._parts)

    def prepare_missing(
        self, records: Sequence[DatasetRecord], job: ImageJob, pool: Executor, task: ProgressTask
    ) -> None:
        """Prepare and store every part that is not there yet; the next is begun before one is waited for."""

        def begin(number: int) -> tuple[Path, Iterator[PreparedImage]]:
            chunk = records[number * RECORDS_PER_PART : (number + 1) * RECORDS_PER_PART]
            loads = [record.load for record in chunk]
            return self._parts[number], pool.map(partial(prepare_image, job), loads, chunksize=_BATCH)

        missing = [number for number, part in enumerate(self._parts) if not part.is_file()]
        done = len(self._parts) - len(missing)
        task.advance(min(done * RECORDS_PER_PART, len(records)))
        for (part, images), _ in pairwise(chain(map(begin, missing), [(Path(), iter(()))])):
            rows = []
            for image in images:
                rows.append(asdict(image))
                task.advance(1)
            table = pa.Table.from_pylist(rows, schema=_SCHEMA)
            atomic_write(part, partial(pq.write_table, table, compression="none"))

    def outcomes(self) -> list[PreparedImage]:
        """Every record's outcome without its PNG, in order."""
        table = pq.read_table(self._parts, columns=["sha256", "side", "problem", "mended"])
        return [PreparedImage(**row) for row in table.to_pylist()]

    def pngs(self, indices: Sequence[int]) -> Iterator[bytes]:
        """PNG bytes of the records at ascending `indices`, one part in memory at a time."""
        for number, inside in groupby(indices, key=lambda index: index // RECORDS_PER_PART):
            column = pq.read_table(self._parts[number], columns=["png"])["png"]
            for index in inside:
                yield column[index % RECORDS_PER_PART].as_py()

    def total_png_bytes(self) -> int:
        """Bytes of all stored parts, about those of their PNGs."""
        return sum(part.stat().st_size for part in self._parts)

    def publish(self, out: Path) -> None:
        """Rename the finished data set to `out`, in the place of an older one, and drop the work folder."""
        with storage_errors(out):
            if out.exists() and any(out.iterdir()):
                out.rename(self.folder / "replaced")
            put_in_place(self.dataset, out)
        shutil.rmtree(self.folder, ignore_errors=True)


def write_splits(
    writer: DatasetWriter,
    counts: Mapping[str, int],
    rows_of: Callable[[str], Iterable[dict[str, Any]]],
    bytes_each: float,
    progress: Progress,
) -> None:
    """Write each split that has rows, in files of about 256 MiB."""
    rows_per_file = max(1, int(_FILE_BYTES / bytes_each / ROWS_PER_GROUP)) * ROWS_PER_GROUP

    def counted(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            yield row
            task.advance(1)

    with progress.stage("writing the data set", total=sum(counts.values())) as task:
        for split in SPLITS:
            if counts.get(split):
                writer.write_split(split, counted(rows_of(split)), counts[split], rows_per_file)


def work_folder(out: Path) -> Path:
    """Where what is done of `out` is kept until it is whole."""
    return out.with_name(f".{out.name}{WORK_SUFFIX}")


@contextmanager
def open_work(out: Path) -> Iterator[WorkFolder]:
    """Create and lock the work folder beside `out`.

    Raises:
        UsageError: another process prepares this data set now.
        StorageError: the folder may not be written.
    """
    folder = work_folder(out)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder / "lock").acquire(blocking=False)
        except Timeout as error:
            raise UsageError(f"Another facegen prepares '{out}' at this moment.") from error
    with lock:
        yield WorkFolder(folder)
