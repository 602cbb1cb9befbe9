"""The work folder of `facegen prepare`: finished parts stand here until the data set is whole.

.NAME.partial/job.json                    what is being made; other work is thrown away
.NAME.partial/parts/part-00000.parquet    prepared images of records 0..1023, in order
.NAME.partial/dataset/                    the finished data set before it is renamed into place
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from facegen.errors import DataError, UsageError
from facegen.formats.dataset import SPLITS
from facegen.formats.dataset_writer import ROWS_PER_GROUP, DatasetWriter
from facegen.formats.files import atomic_write, put_in_place, read_json, storage_errors, write_json
from facegen.preparation.images import ImageJob, PreparedImage, map_batches, worker_pool
from facegen.protocols import Progress, ProgressTask
from facegen.types import DatasetRecord

RECORDS_PER_PART = 1024
_BATCH = 16
_JOB_VERSION = 1
_FILE_BYTES = 256 << 20
_SCHEMA = pa.schema(
    [("png", pa.binary()), ("sha256", pa.string()), ("side", pa.int32()), ("problem", pa.string())]
)


class WorkFolder:
    """Parts of one prepare run, resumable. Use `open_work` to get one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = folder / "dataset"

    def begin(self, job: dict[str, Any]) -> bool:
        """Take up the work if it is the same job, else start anew; True if there is something to take up."""
        try:
            same = read_json(self.folder / "job.json", _JOB_VERSION).get("job") == job
        except DataError:
            same = False
        if not same:
            shutil.rmtree(self.folder / "parts", ignore_errors=True)
            write_json(self.folder / "job.json", {"format_version": _JOB_VERSION, "job": job})
        shutil.rmtree(self.dataset, ignore_errors=True)
        return same and any((self.folder / "parts").glob("part-*.parquet"))

    def prepare_missing(
        self,
        records: Sequence[DatasetRecord],
        job: ImageJob,
        workers: int,
        processes: bool,
        task: ProgressTask,
    ) -> None:
        """Prepare and store every part that is not there yet."""
        missing = [part for part in range(num_parts(len(records))) if not self._part(part).is_file()]
        done = num_parts(len(records)) - len(missing)
        task.advance(min(done * RECORDS_PER_PART, len(records)))
        if not missing:
            return
        chunks = [records[part * RECORDS_PER_PART : (part + 1) * RECORDS_PER_PART] for part in missing]
        batches = [
            [record.load for record in chunk[start : start + _BATCH]]
            for chunk in chunks
            for start in range(0, len(chunk), _BATCH)
        ]
        with worker_pool(workers, processes=processes) as pool:
            results = map_batches(pool, job, batches, lookahead=4 * workers)
            for part, chunk in zip(missing, chunks, strict=True):
                images: list[PreparedImage] = []
                for batch in islice(results, -(-len(chunk) // _BATCH)):
                    images += batch
                    task.advance(len(batch))
                self._store(part, images)

    def outcomes(self, num_records: int) -> list[PreparedImage]:
        """Every record's outcome without its PNG, in order."""
        rows: list[PreparedImage] = []
        for part in range(num_parts(num_records)):
            table = pq.read_table(self._part(part), columns=["sha256", "side", "problem"])
            rows += [PreparedImage(**row) for row in table.to_pylist()]
        return rows

    def pngs(self, indices: Sequence[int]) -> Iterator[bytes]:
        """PNG bytes of the records at ascending `indices`, one part in memory at a time."""
        part, column = -1, None
        for index in indices:
            if index // RECORDS_PER_PART != part:
                part = index // RECORDS_PER_PART
                column = pq.read_table(self._part(part), columns=["png"])["png"]
            assert column is not None
            yield column[index % RECORDS_PER_PART].as_py()

    def total_png_bytes(self, num_records: int) -> int:
        """Bytes of all stored parts, about those of their PNGs."""
        return sum(self._part(part).stat().st_size for part in range(num_parts(num_records)))

    def publish(self, out: Path) -> None:
        """Rename the finished data set to `out` and drop the work folder."""
        with storage_errors(out):
            put_in_place(self.dataset, out)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, part: int) -> Path:
        return self.folder / "parts" / f"part-{part:05d}.parquet"

    def _store(self, part: int, images: list[PreparedImage]) -> None:
        table = pa.Table.from_pylist([asdict(image) for image in images], schema=_SCHEMA)
        atomic_write(self._part(part), lambda file: pq.write_table(table, file, compression="none"))


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


def num_parts(num_records: int) -> int:
    return -(-num_records // RECORDS_PER_PART)


@contextmanager
def open_work(out: Path) -> Iterator[WorkFolder]:
    """Create and lock the work folder beside `out`.

    Raises:
        UsageError: another process prepares this data set now.
        StorageError: the folder may not be written.
    """
    folder = out.with_name(f".{out.name}.partial")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder / "lock").acquire(blocking=False)
        except Timeout as error:
            raise UsageError(f"Another facegen prepares '{out}' at this moment.") from error
    with lock:
        yield WorkFolder(folder)
