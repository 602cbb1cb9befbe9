"""Encoding a data set shard by shard: decoding before it and writing after it run beside the encoder.

    LATENTS/encoding.json    while unfinished: the plan, and every shard that is done with its checksum

Letters: N images of a shard, B batch, C channels, h/w latent cells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.errors import DataError, StorageError
from facegen.formats.dataset import DatasetSplit
from facegen.formats.files import read_json, write_json
from facegen.formats.images import to_unit
from facegen.formats.latents import FLIPPED, MOMENTS, StoredFile, check_file, write_tensors
from facegen.formats.plain import from_plain, plain
from facegen.protocols import Autoencoder, ProgressTask

STATE_FILE = "encoding.json"
STATE_FORMAT_VERSION = 1
PREFETCHED_BATCHES = 4


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of a split, and the file their latents go to."""

    split: str
    name: str
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Sums:
    """Per channel, over `count` values: sums of the mean, of its square and of the variance, in float64."""

    count: int
    mean: list[float]
    mean_square: list[float]
    variance: list[float]

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> Sums:
        """From `mean` and `log_variance` (N, C, h, w) as they are stored."""
        channels = tensors["mean"].shape[1]
        sums: list[list[float]] = [[], [], []]
        for channel in range(channels):  # one at a time: float64 copies of a whole shard would be large
            mean = tensors["mean"][:, channel].double()
            variance = tensors["log_variance"][:, channel].double().exp()
            for total, values in zip(sums, (mean, mean.square(), variance), strict=True):
                total.append(values.sum().item())
        return Sums(tensors["mean"].numel() // channels, *sums)


@dataclass
class EncodingState:
    """What is done so far; `encoding.json`."""

    plan: dict[str, Any]
    files: dict[str, StoredFile] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `encoding.json`.

        Raises:
            StorageError: the disk is full or may not be written.
        """
        write_json(folder / STATE_FILE, {"format_version": STATE_FORMAT_VERSION, **plain(self)})

    @staticmethod
    def read(folder: Path) -> EncodingState:
        """What an interrupted encoding left.

        Raises:
            DataError: unreadable, or of another format version.
        """
        path = folder / STATE_FILE
        return from_plain(EncodingState, read_json(path, STATE_FORMAT_VERSION), path)

    def drop_damaged(self, folder: Path) -> list[str]:
        """Forget files whose content is no longer what was written; returns their names."""
        damaged = []
        for file in list(self.files.values()):
            try:
                check_file(folder, file, content=True)
            except StorageError:
                del self.files[file.name]
                damaged.append(file.name)
        return damaged


def plan_shards(counts: dict[str, int], shard_size: int) -> list[Shard]:
    """Cut every split into shards of `shard_size` rows, the last one shorter."""
    return [
        Shard(split, f"latents-{split}-{number:05d}.safetensors", start, min(start + shard_size, count))
        for split, count in counts.items()
        for number, start in enumerate(range(0, count, shard_size))
    ]


@dataclass(frozen=True)
class ShardEncoder:
    """Encodes and writes shards on `device`; batches never cross a shard's end, so resuming repeats them."""

    autoencoder: Autoencoder
    device: torch.device
    dtype: torch.dtype
    batch_size: int
    flips: bool

    def encode_shard(self, images: DatasetSplit, shard: Shard, bar: ProgressTask) -> dict[str, Tensor]:
        """The shard's tensors, float16 (N, C, h, w) on the CPU.

        Raises:
            DataError: the autoencoder's answer to an image is not finite in float16.
        """
        tensors: dict[str, Tensor] = {}
        for start, batch in self.batches(images, shard):
            for name, values in self.moments(batch).items():
                if not bool(torch.isfinite(values).all()):
                    first = shard.start + start
                    raise DataError(
                        f"The autoencoder gives '{name}' that float16 cannot hold for images {first} to "
                        f"{first + len(batch) - 1} of split '{shard.split}'.",
                        hint="Use another autoencoder: this one's latents are not finite or far too large.",
                    )
                if name not in tensors:
                    tensors[name] = torch.empty(shard.count, *values.shape[1:], dtype=torch.float16)
                tensors[name][start : start + len(batch)] = values
            bar.advance(len(batch))
        return tensors

    def batches(self, images: DatasetSplit, shard: Shard) -> Iterator[tuple[int, Tensor]]:
        """Position in the shard and uint8 (B, 3, H, W), decoded ahead in a thread."""
        starts = deque(range(0, shard.count, self.batch_size))

        def read(start: int) -> tuple[int, Tensor]:
            stop = min(start + self.batch_size, shard.count)
            return start, images.images(range(shard.start + start, shard.start + stop))

        with ThreadPoolExecutor(1, thread_name_prefix="decode") as reader:
            ahead: deque[Future[tuple[int, Tensor]]] = deque()
            try:
                while starts or ahead:
                    while starts and len(ahead) < PREFETCHED_BATCHES:
                        ahead.append(reader.submit(read, starts.popleft()))
                    yield ahead.popleft().result()
            finally:
                reader.shutdown(wait=True, cancel_futures=True)

    @torch.inference_mode()
    def moments(self, batch: Tensor) -> dict[str, Tensor]:
        """float16 moments (B, C, h, w) of uint8 images, and of their mirror images where asked for."""
        x = to_unit(batch.to(self.device))
        result = {}
        for suffix, view in (("", x), (FLIPPED, x.flip(-1))) if self.flips else (("", x),):
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                moments = self.autoencoder.encode(view)
            for name in MOMENTS:
                result[name + suffix] = getattr(moments, name).half().cpu()
        return result


def write_shards(
    folder: Path,
    shards: list[Shard],
    encoder: ShardEncoder,
    splits: dict[str, DatasetSplit],
    state: EncodingState,
    bar: ProgressTask,
) -> None:
    """Encode every shard that `state` lacks; each is written while the next one is encoded.

    Raises:
        StorageError: the disk is full or may not be written; finished shards stand.
    """

    def finish(shard: Shard, tensors: dict[str, Tensor]) -> None:
        state.files[shard.name] = write_tensors(folder, shard.name, tensors)
        state.sums[shard.name] = Sums.of(tensors)
        state.write(folder)

    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        pending: Future[None] | None = None
        for shard in shards:
            if shard.name in state.files:
                continue
            tensors = encoder.encode_shard(splits[shard.split], shard, bar)
            if pending is not None:
                pending.result()
            pending = writer.submit(finish, shard, tensors)
        if pending is not None:
            pending.result()
