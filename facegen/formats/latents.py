"""A folder of encoded images, read by memory mapping.

    LATENTS/index.json                          what was encoded and how: `LatentIndex`; written last
    LATENTS/latents-train-00000.safetensors     `mean`, `log_variance` float16 (N, C, h, w), and
                                                `mean_flipped`, `log_variance_flipped` where asked for
    LATENTS/records-train.parquet               the labels, row by row as in the data set
    LATENTS/images-train.safetensors            `sha256` uint8 (N, 32) of the PNG behind each row of shards
    LATENTS/order-train.safetensors             `row` int64 (N): which row of the shards is each record's;
                                                only where they do not stand in the records' order
    LATENTS/autoencoder/                        the autoencoder, unless it is found by its hub name
    LATENTS/text_embeddings-1a2b3c4d.safetensors   unique captions' `tokens` and `mask`, where asked for
    LATENTS/image_features-1a2b3c4d.safetensors    `features` of every image, split by split, where asked for

Where another file of that name has to stand until the next index is written, a name gets a checksum:
`records-train-1a2b3c4d.parquet`. `latents_writing` writes them.

Letters: N images, B batch, C channels, h/w latent cells.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from facegen.config.documents import parse_json
from facegen.errors import DataError, StorageError, did_you_mean
from facegen.formats.far import fetched, is_copy, near, recheck
from facegen.formats.files import WRONG_CONTENT, read_json, sha256_of
from facegen.formats.plain import from_plain, plain
from facegen.types import LabelSchema, LatentMoments, LatentScaling

if TYPE_CHECKING:
    import pandas as pd  # models read their latents' format, and start 0.4 s sooner without

LATENTS_FORMAT_VERSION = 1
ORDERED_FORMAT_VERSION = 2  # with `order`, which readers of version 1 would pass over
INDEX_FILE = "index.json"
AUTOENCODER_FOLDER = "autoencoder"
MOMENTS = ("mean", "log_variance")
FLIPPED = "_flipped"
MOST_LETTERS = 255  # of a file's name


@dataclass(frozen=True)
class StoredFile:
    """One file of the folder: how many rows it holds, its size and its sha256."""

    name: str
    count: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class LatentIndex:
    """What `index.json` says.

    `sample_shape` is (C, h, w); `scaling` was measured on `scaling_split` with the posterior's variance
    included, or is the autoencoder's own (`transform["scaling"]`: measured or model); `autoencoder` is its
    reference (source, kind, fingerprint); `transform` is what else decides the numbers. `shards`,
    `records`, `images` (what the shards were made of) and `order` are per split.
    """

    sample_shape: tuple[int, ...]
    scaling: LatentScaling
    labels: LabelSchema
    image_size: int
    flips: bool
    autoencoder: dict[str, Any]
    dataset_fingerprint: str
    transform: dict[str, Any]
    shards: dict[str, tuple[StoredFile, ...]]
    records: dict[str, StoredFile]
    text_encoder: str | None = None
    text_embeddings: StoredFile | None = None
    image_encoder: str | None = None
    image_features: StoredFile | None = None
    images: dict[str, StoredFile] = field(default_factory=dict[str, StoredFile])
    order: dict[str, StoredFile] = field(default_factory=dict[str, StoredFile])

    @property
    def files(self) -> list[StoredFile]:
        """Every data file of the folder."""
        files = [file for shards in self.shards.values() for file in shards]
        for tables in (self.records, self.images, self.order):
            files += tables.values()
        return files + [file for file in (self.text_embeddings, self.image_features) if file is not None]

    @property
    def counts(self) -> dict[str, int]:
        """Images per split."""
        return {name: sum(shard.count for shard in shards) for name, shards in self.shards.items()}

    @property
    def fingerprint(self) -> str:
        """sha256 over shards, label tables, their order and a scaling not measured on them: what training
        depends on."""
        files = [file.sha256 for shards in self.shards.values() for file in shards]
        files += [file.sha256 for file in (*self.records.values(), *self.order.values())]
        if self.transform.get("scaling") == "model":
            files.append(repr((self.scaling.shift, self.scaling.scale)))
        return sha256_of("".join(files).encode())

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, headed by the format version."""
        version = ORDERED_FORMAT_VERSION if self.order else LATENTS_FORMAT_VERSION
        return {"format_version": version, **plain(self), "counts": self.counts}


@dataclass(frozen=True)
class TextEmbeddings:
    """Unique `captions` (U) with their `tokens` (U, L, D) float16 and `mask` (U, L) bool, True = real."""

    encoder: str
    captions: list[str]
    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ImageFeatures:
    """What a frozen image encoder sees in every record: `features` (N, D) float16, row by row as `ids` (N).

    `mean` and `std` (D) were measured on the training split; `fingerprint` is of the encoder's weights.
    """

    encoder: str
    fingerprint: str
    ids: list[str]
    features: Tensor
    mean: list[float]
    std: list[float]


class LatentStore:
    """A folder written by `facegen encode`. Open it with `LatentStore.open(folder)`."""

    def __init__(self, folder: Path, index: LatentIndex) -> None:
        self.folder = folder
        self.index = index
        self._splits = {name: LatentSplit(folder, index, name) for name in index.shards}

    @staticmethod
    def open(folder: Path | str, *, verify: bool = False) -> LatentStore:
        """Open latents: every file is there with its full size; `verify` also compares every checksum.

        Those of a far store (`s3://...`) may still be on their way, and are compared as they come.

        Raises:
            DataError: no finished latents in the folder, or of another format version.
            StorageError: names the file that is missing, truncated or (with `verify`) altered.
        """
        folder = near(folder)
        index = read_index(folder)
        if verify:
            recheck(folder)
        for file in () if is_copy(folder) else index.files:
            check_file(folder, file, content=verify)
        return LatentStore(folder, index)

    @property
    def autoencoder_folder(self) -> Path | None:
        """The autoencoder that travels with the latents; None if it is found by its hub name."""
        folder = fetched(self.folder / AUTOENCODER_FOLDER)
        return folder if folder.is_dir() else None

    def split(self, name: str) -> LatentSplit:
        """One split.

        Raises:
            DataError: there is no split of that name.
        """
        if name not in self._splits:
            raise DataError(
                f"'{self.folder}' has no split '{name}'.{did_you_mean(name, self._splits)}",
                hint=f"Its splits: {', '.join(self._splits)}.",
            )
        return self._splits[name]

    @cached_property
    def text_embeddings(self) -> TextEmbeddings | None:
        """The cached embeddings of the unique captions, memory-mapped; None if none were asked for."""
        stored, encoder = self.index.text_embeddings, self.index.text_encoder
        if stored is None or encoder is None:
            return None
        with _holding(self.folder / stored.name) as (tensors, metadata):
            captions = parse_json(metadata["captions"])
            return TextEmbeddings(encoder, captions, tensors["tokens"], tensors["mask"])

    @cached_property
    def image_features(self) -> ImageFeatures | None:
        """The frozen image encoder's features of all records, memory-mapped; None if none were asked for."""
        stored, encoder = self.index.image_features, self.index.image_encoder
        if stored is None or encoder is None:
            return None
        with _holding(self.folder / stored.name) as (tensors, metadata):
            ids = [record for name in self.index.records for record in self.split(name).frame["id"]]
            mean, std = (parse_json(metadata[name]) for name in ("mean", "std"))
            return ImageFeatures(encoder, metadata["fingerprint"], ids, tensors["features"], mean, std)


class LatentSplit:
    """One split of a `LatentStore`: labels in `frame`, moments through `gather`."""

    def __init__(self, folder: Path, index: LatentIndex, name: str) -> None:
        self.name = name
        self._folder = folder
        self._index = index
        self._starts = np.cumsum([0, *(shard.count for shard in index.shards[name])])
        self._frame: weakref.ref[pd.DataFrame] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def frame(self) -> pd.DataFrame:
        """Labels, one row per image: columns as in `DatasetSplit.frame`. In memory as long as somebody holds
        it: training reads it once, and a million images take 140 MB.

        Raises:
            StorageError: the table is damaged.
        """
        found = None if self._frame is None else self._frame()
        if found is None:
            found = self._read_frame()
            self._frame = weakref.ref(found)
        return found

    def _read_frame(self) -> pd.DataFrame:
        import pandas as pd
        import pyarrow as pa

        path = self._folder / self._index.records[self.name].name
        try:
            return pd.read_parquet(fetched(path)).astype(dict.fromkeys(self._index.labels.attributes, "Int8"))
        except (OSError, pa.ArrowException, *WRONG_CONTENT) as error:
            raise StorageError(
                f"'{path}' cannot be read: {error}.", hint="Encode the data set again."
            ) from error

    @cached_property
    def images(self) -> Tensor | None:
        """sha256 (N, 32) uint8 of the PNG behind each row of the shards; None of latents that do not say."""
        file = self._index.images.get(self.name)
        return None if file is None else self._row_by_row(file, "sha256", torch.uint8)

    @cached_property
    def order(self) -> Tensor | None:
        """Which row of the shards is each record's (N) int64; None where they stand in the same order."""
        file = self._index.order.get(self.name)
        return None if file is None else self._row_by_row(file, "row", torch.int64)

    def _row_by_row(self, file: StoredFile, name: str, dtype: torch.dtype) -> Tensor:
        """The tensor `name` of a file, which has a row for each of the split's."""
        with _holding(self._folder / file.name) as (tensors, _):
            found = tensors[name]
            if found.dtype != dtype or len(found) != len(self):
                raise ValueError(f"'{name}' is {found.dtype}, {tuple(found.shape)}")
            return found

    def gather(self, indices: Tensor, flipped: Tensor | None = None) -> LatentMoments:
        """Moments (B, C, h, w) float32 of rows `indices` (B,) int64, mirrored where `flipped` (B,); raises as
        `stored`."""
        stored = self.stored(indices, flipped)
        return LatentMoments(stored.mean.float(), stored.log_variance.float())

    def stored(self, indices: Tensor, flipped: Tensor | None = None) -> LatentMoments:
        """As `gather`, in float16 as they are stored: half the bytes, where they go to another device.

        Raises:
            DataError: mirror images were asked for and not encoded.
            IndexError: an index outside the split.
        """
        rows = indices.numpy()
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"latent index outside 0..{len(self) - 1}")
        if flipped is not None and not self._index.flips:
            raise DataError(
                f"'{self._folder}' was encoded without mirror images.", hint="Encode again with --flips."
            )
        if self.order is not None:
            indices = self.order[indices]
            rows = indices.numpy()
        if flipped is None and len(self._shards) == 1:
            return LatentMoments(*(self._shards[0][name].index_select(0, indices) for name in MOMENTS))
        shard_of = self._starts.searchsorted(rows, side="right") - 1
        source_of = shard_of if flipped is None else shard_of + len(self._shards) * flipped.numpy()
        begins = (rows - self._starts[shard_of]) * self._row_bytes
        ends = begins + self._row_bytes
        places = list(zip(source_of.tolist(), begins.tolist(), ends.tolist(), strict=True))
        return LatentMoments(*(self._copied(name, places) for name in MOMENTS))

    def _copied(self, name: str, places: Sequence[tuple[int, int, int]]) -> Tensor:
        """Rows of the moment `name` by the number of their source, first byte and end.

        One after the other by `bytearray.join`: gathering from each shard, and then into order, takes twice
        as long for 64 rows, and copying slice by slice 1.4 times.
        """
        shape = (len(places), *self._index.sample_shape)
        if not places:
            return torch.empty(shape, dtype=torch.float16)
        sources = self._sources[name]
        rows = bytearray().join([sources[number][begin:end] for number, begin, end in places])
        return torch.frombuffer(rows, dtype=torch.float16).view(shape)

    @property
    def _row_bytes(self) -> int:
        """Of a row of one moment."""
        return torch.float16.itemsize * math.prod(self._index.sample_shape)

    @cached_property
    def _sources(self) -> dict[str, list[memoryview]]:
        """By moment what all shards hold, and after that what they hold of mirror images."""
        sides = ("", FLIPPED)[: 1 + self._index.flips]
        return {
            name: [_bytes_of(shard[name + side]) for side in sides for shard in self._shards]
            for name in MOMENTS
        }

    @property
    def _names(self) -> list[str]:
        """The tensors that every shard holds."""
        return [name + mirrored for name in MOMENTS for mirrored in ("", FLIPPED)[: 1 + self._index.flips]]

    @cached_property
    def _shards(self) -> list[dict[str, Tensor]]:
        return [self._shard(shard) for shard in self._index.shards[self.name]]

    def _shard(self, shard: StoredFile) -> dict[str, Tensor]:
        with _holding(self._folder / shard.name) as (tensors, _):
            for name in self._names:
                shape = (shard.count, *self._index.sample_shape)
                if tensors[name].shape != shape or tensors[name].dtype != torch.float16:
                    raise ValueError(f"'{name}' is not float16 of {shape}")
            return tensors


def read_index(folder: Path) -> LatentIndex:
    """The index of the latents in `folder`, whose other files are not looked at.

    Raises:
        DataError: no finished latents in the folder, or of another format version.
    """
    path = folder / INDEX_FILE
    if not path.is_file():
        raise DataError(
            f"'{folder}' holds no {INDEX_FILE}: it is not a folder of finished latents.",
            hint=f"Make one: facegen encode DATASET --autoencoder NAME_OR_PATH --out {folder}",
        )
    data = read_json(path, LATENTS_FORMAT_VERSION, ORDERED_FORMAT_VERSION)
    index = from_plain(LatentIndex, data, path)
    splits, told = index.shards.keys(), {*index.images, *index.order}
    names = [file.name for file in index.files]
    if index.records.keys() != splits or not told <= splits or min(index.sample_shape, default=1) < 1:
        raise DataError(f"'{path}' is damaged: its parts do not fit together.")
    counts = [file.count for file in index.files]
    if any(not name or Path(name).name != name or len(name) > MOST_LETTERS for name in names):
        raise DataError(f"'{path}' is damaged: it names a file that cannot be one of its own.")
    if min(counts, default=0) < 0 or sum(counts) > sys.maxsize:
        raise DataError(f"'{path}' is damaged: no file holds as many records as it says.")
    return index


@contextmanager
def _holding(path: Path) -> Generator[tuple[dict[str, Tensor], dict[str, str]]]:
    """Tensors and metadata of a file whose content is looked at within the block.

    Raises:
        StorageError: missing or damaged, or the block found something else than it needs.
    """
    found = map_safetensors(path)
    try:
        yield found
    except WRONG_CONTENT as error:
        raise StorageError(f"'{path}' is not what it should be: {error}.", hint="Encode again.") from error


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.numpy().data.cast("B")


def map_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a safetensors file as views of one memory map, and its metadata.

    The map is private, so nothing written to a tensor reaches the file.

    Raises:
        StorageError: missing, truncated or not safetensors.
    """
    try:
        opened: Any = safe_open(fetched(path), framework="pt")  # its own stub says nothing of what it holds
        with opened as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError, *WRONG_CONTENT) as error:
        raise StorageError(
            f"'{path}' is missing or damaged: {error}.", hint="Encode the data set again."
        ) from error


def check_file(folder: Path, file: StoredFile, *, content: bool) -> None:
    """Compare a file's size, and with `content` its sha256, with what was recorded.

    Raises:
        StorageError: names the file and what is wrong with it.
    """
    path = folder / file.name
    again = f"Make it anew: facegen encode DATASET --autoencoder NAME_OR_PATH --out {folder}"
    if not path.is_file():
        raise StorageError(f"Latent file '{path}' is missing.", hint=again)
    size = path.stat().st_size
    if size != file.size_bytes:
        raise StorageError(
            f"Latent file '{path}' is {size} bytes, not {file.size_bytes}: truncated.", hint=again
        )
    if content and sha256_of(path) != file.sha256:
        raise StorageError(f"Latent file '{path}' is corrupt: its checksum does not match.", hint=again)


open_latents = LatentStore.open
