"""A prepared data set: Hugging Face's parquet layout plus `dataset.json`, read back.

    DATASET/dataset.json                        what was done: `DatasetManifest`
    DATASET/data/train-00000-of-00002.parquet   image {bytes, path}, labels, captions, ...
    DATASET/rejects.csv                         what was left out, and why
    DATASET/account.csv                         what became of every file (`facegen.preparation.account`)

`datasets.load_dataset(folder)` and `pandas.read_parquet(folder/data)` read it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from facegen.errors import DataError, StorageError, did_you_mean
from facegen.formats.far import fetched, near
from facegen.formats.files import WRONG_CONTENT, read_json
from facegen.formats.plain import from_plain, plain
from facegen.formats.stored_images import StoredImages
from facegen.types import LabelSchema

if TYPE_CHECKING:
    import pandas as pd

DATASET_FORMAT_VERSION = 1
MANIFEST_NAME = "dataset.json"
SPLITS = ("train", "validation", "test")
RECORD_COLUMNS = ("id", "split", "caption", "captions", "identity", "sha256")
LARGEST_SIZE = 16_384  # of an image, in pixels


@dataclass(frozen=True)
class DatasetManifest:
    """What `dataset.json` says. `counts` is images per split; `transform` crop, size and filters;
    `extras` the type of each further column; `rejects` how many were left out per reason; `read_as` what was
    taken for what, `repairs` what was changed or dropped to make sense of the source; `files` the sha256 of
    each parquet file."""

    kind: str
    image_size: int
    labels: LabelSchema
    counts: dict[str, int]
    fingerprint: str
    transform: dict[str, Any] = field(default_factory=dict[str, Any])
    extras: dict[str, str] = field(default_factory=dict[str, str])
    source: dict[str, Any] = field(default_factory=dict[str, Any])
    attribute_rates: dict[str, float | None] = field(default_factory=dict[str, float | None])
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    rejects: dict[str, int] = field(default_factory=dict[str, int])
    read_as: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, headed by the format version."""
        return {"format_version": DATASET_FORMAT_VERSION, **plain(self)}


class Dataset:
    """A prepared data set on disk. Open it with `Dataset.open(folder)`."""

    def __init__(self, folder: Path, manifest: DatasetManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._splits: dict[str, DatasetSplit] = {}

    @staticmethod
    def open(folder: Path | str) -> Dataset:
        """Open what `facegen prepare` wrote.

        Raises:
            DataError: no such folder, not a prepared data set, another format version.
        """
        folder = near(folder)
        if not (folder / MANIFEST_NAME).is_file():
            what = "holds no" if folder.is_dir() else "does not exist, so there is no"
            raise DataError(
                f"'{folder}' {what} {MANIFEST_NAME}: it is not a prepared data set.",
                hint=f"Make one: facegen prepare KIND SOURCE --out {folder}",
            )
        data = read_json(folder / MANIFEST_NAME, DATASET_FORMAT_VERSION)
        manifest = from_plain(DatasetManifest, data, folder / MANIFEST_NAME)
        if not 1 <= manifest.image_size <= LARGEST_SIZE or min(manifest.counts.values(), default=0) < 0:
            raise DataError(f"'{folder / MANIFEST_NAME}' has a size or number of images that cannot be.")
        return Dataset(folder, manifest)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold images."""
        return tuple(name for name in SPLITS if self.manifest.counts.get(name))

    def split(self, name: str) -> DatasetSplit:
        """Return one split; it is read when first used.

        Raises:
            DataError: no such split, or it is empty; missing files (StorageError).
        """
        if name not in self.splits:
            have = ", ".join(f"{split} ({self.manifest.counts[split]})" for split in self.splits)
            raise DataError(
                f"'{self.folder}' has no images in split '{name}'.{did_you_mean(name, self.splits)}",
                hint=f"Splits with images: {have or 'none'}.",
            )
        if name not in self._splits:
            fetched(self.folder / "data" / f"{name}-")
            files = sorted((self.folder / "data").glob(f"{name}-*.parquet"))
            self._splits[name] = DatasetSplit(name, self.manifest, files)
        return self._splits[name]

    def verify(self) -> None:
        """Compute the fingerprint anew from the files; nothing happens when it is the manifest's.

        Raises:
            DataError: images or labels were changed after `facegen prepare`.
            StorageError: a file is missing or cannot be read.
        """
        digest = FingerprintBuilder(self.manifest.labels, self.manifest.transform)
        for name in self.splits:
            for row in self.split(name).rows():
                with _reading(f"split '{name}'"):
                    digest.add(row)
        if digest.hexdigest() != self.manifest.fingerprint:
            raise DataError(
                f"'{self.folder}' was changed after it was prepared: its images and labels have fingerprint"
                f" {digest.hexdigest()[:12]}, dataset.json says {self.manifest.fingerprint[:12]}.",
                hint=f"Prepare it again: facegen prepare {self.manifest.kind} SOURCE --out NEW_FOLDER",
            )


class DatasetSplit:
    """One split: `frame` of labels and `images(indices)`."""

    def __init__(self, name: str, manifest: DatasetManifest, files: Sequence[Path]) -> None:
        self.name = name
        self.manifest = manifest
        self._files = [_open_parquet(path) for path in files]
        self._images = StoredImages(list(zip(files, self._files, strict=True)), manifest.image_size)
        if len(self) != manifest.counts[name]:
            raise StorageError(
                f"Split '{name}' holds {len(self)} rows where dataset.json says {manifest.counts[name]}: "
                "files under data/ are missing or were added."
            )

    def __len__(self) -> int:
        return len(self._images)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Labels without images, one row per image, in file order.

        Columns `id split caption captions identity sha256`; a nullable Int8 column per attribute (1, 0,
        <NA> unknown); a string column per class set; extras such as `age`.
        """
        labels, extras = self.manifest.labels, self.manifest.extras
        columns = [*RECORD_COLUMNS, *labels.attributes, *labels.classes, *extras]
        with _reading(f"split '{self.name}'"):
            table = pa.concat_tables([file.read(columns=columns) for file in self._files])  # pyright: ignore[reportUnknownMemberType]
            frame: pd.DataFrame = table.to_pandas()  # pyright: ignore[reportUnknownMemberType]
            return frame.astype(dict.fromkeys(labels.attributes, "Int8"))

    def images(self, indices: Sequence[int] | np.ndarray | Tensor, *, keep: bool = False) -> Tensor:
        """Decode the images at `indices` (rows of `frame`) to uint8 (N, 3, H, W).

        With `keep` they stay in memory, up to 2 GiB a split: for who will ask for them again.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"image index outside 0..{len(self) - 1}")
        with _reading(f"split '{self.name}'"):
            return torch.from_numpy(self._images.images(wanted, keep=keep))  # pyright: ignore[reportUnknownMemberType]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row as it is stored, image bytes included, a row group at a time."""
        for file in self._files:
            for group in range(file.num_row_groups):
                with _reading(f"split '{self.name}'"):
                    rows = file.read_row_group(group).to_pylist()
                yield from rows


class FingerprintBuilder:
    """SHA-256 over every record's id, split, PNG bytes, labels and captions, and over the transform."""

    def __init__(self, labels: LabelSchema, transform: Mapping[str, Any]) -> None:
        self._columns = ["id", "split", "captions", "identity", *labels.attributes, *labels.classes]
        head = {"labels": plain(labels), "transform": dict(transform)}
        self._digest = hashlib.sha256(json.dumps(head, sort_keys=True, ensure_ascii=False).encode())

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one stored row; the order of rows counts."""
        values = [row[column] for column in self._columns]
        values.append(hashlib.sha256(row["image"]["bytes"]).hexdigest())
        self._digest.update(json.dumps(values, ensure_ascii=False).encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _open_parquet(path: Path) -> Any:  # its stubs say little
    with _reading(f"'{path}'"):
        return pq.ParquetFile(path)


@contextmanager
def _reading(what: str) -> Generator[None]:
    """Name the file when parquet or a picture inside it is damaged."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, pa.ArrowException, DataError, *WRONG_CONTENT) as error:
        raise StorageError(
            f"{what} cannot be read: {error}.", hint="The file is damaged: prepare it again."
        ) from error


open_dataset = Dataset.open
