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

from facegen.encoding.job import EncodingJob, Shard
from facegen.encoding.scaling import Sums
from facegen.errors import DataError, StorageError
from facegen.formats.files import read_json, write_json
from facegen.formats.images import to_unit
from facegen.formats.latents import FLIPPED, MOMENTS, StoredFile, check_file, write_tensors
from facegen.formats.plain import from_plain, plain
from facegen.protocols import ProgressTask

STATE_FILE = "encoding.json"
STATE_FORMAT_VERSION = 1
PREFETCHED_BATCHES = 4


@dataclass
class EncodingState:
    """What is done so far; `encoding.json`."""

    plan: dict[str, Any]
    files: dict[str, StoredFile] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / STATE_FILE, {"format_version": STATE_FORMAT_VERSION, **plain(self)})

    @staticmethod
    def read(folder: Path) -> EncodingState:
        """What an interrupted encoding left; a `DataError` where that is unreadable or of another version."""
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


def write_shards(job: EncodingJob, state: EncodingState) -> int:
    """Encode every shard that `state` lacks; each is written while the next one is encoded.

    Batches never cross a shard's end, so that resuming repeats them. Returns how many images were encoded.

    Raises:
        DataError: the autoencoder's answer to an image is not finite in float16.
        StorageError: the disk is full or may not be written; finished shards stand.
    """

    def finish(shard: Shard, tensors: dict[str, Tensor]) -> None:
        state.files[shard.name] = write_tensors(job.out, shard.name, tensors)
        state.sums[shard.name] = Sums.of(tensors)
        state.write(job.out)

    missing = [shard for shard in job.shards if shard.name not in state.files]
    todo = sum(shard.count for shard in missing)
    with (
        job.progress.stage("Encoding", total=todo) as bar,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        pending: Future[None] | None = None
        for shard in missing:
            tensors = _encoded(job, shard, bar)
            if pending is not None:
                pending.result()
            pending = writer.submit(finish, shard, tensors)
        if pending is not None:
            pending.result()
    return todo


def _encoded(job: EncodingJob, shard: Shard, bar: ProgressTask) -> dict[str, Tensor]:
    """The shard's tensors, float16 (N, C, h, w) on the CPU."""
    tensors: dict[str, Tensor] = {}
    for start, batch in batches(job, shard):
        for name, values in moments(job, batch).items():
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


def batches(job: EncodingJob, shard: Shard) -> Iterator[tuple[int, Tensor]]:
    """Position in the shard and uint8 (B, 3, H, W), decoded ahead in a thread."""
    images, size = job.dataset.split(shard.split), job.options.batch_size
    starts = deque(range(0, shard.count, size))

    def read(start: int) -> tuple[int, Tensor]:
        stop = min(start + size, shard.count)
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
def moments(job: EncodingJob, batch: Tensor) -> dict[str, Tensor]:
    """float16 moments (B, C, h, w) of uint8 images, and of their mirror images where asked for."""
    x = to_unit(batch.to(job.device))
    dtype: torch.dtype = getattr(torch, job.options.dtype)
    result = {}
    for suffix, view in (("", x), (FLIPPED, x.flip(-1))) if job.options.flips else (("", x),):
        with torch.autocast(job.device.type, dtype, enabled=dtype != torch.float32):
            encoded = job.loaded.module.encode(view)
        for name in MOMENTS:
            result[name + suffix] = getattr(encoded, name).half().cpu()
    return result
