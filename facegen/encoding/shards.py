"""Encoding a data set shard by shard: decoding before it and writing after it run beside the encoder.

    LATENTS/encoding.json    while unfinished: the plan, and every shard that is done with its checksum

Letters: N images of a shard, B batch, C channels, h/w latent cells.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.encoding.job import EncodingJob
from facegen.encoding.layout import Shard
from facegen.encoding.scaling import Sums
from facegen.errors import DataError, StorageError
from facegen.formats.files import read_json, write_json
from facegen.formats.images import to_unit
from facegen.formats.latents import (
    FLIPPED,
    MOMENTS,
    StoredFile,
    check_file,
    map_safetensors,
)
from facegen.formats.latents_writing import write_tensors
from facegen.formats.plain import from_plain, plain
from facegen.processes import world
from facegen.protocols import ProgressTask

STATE_FILE = "encoding.json"
STATE_FORMAT_VERSION = 1
PREFETCHED_BATCHES = 4

Found = Mapping[bytes, tuple[str, int]]
"""By image, the file and the row that its moments stand in."""
Part = tuple[list[int], dict[str, Tensor]]
"""Places in a shard, and the moments that belong there."""


@dataclass(frozen=True)
class Done:
    """A shard that is written: its file, its sums, and of which images it is (`Shard.made_of`)."""

    file: StoredFile
    sums: Sums
    made_of: str


@dataclass
class EncodingState:
    """What is done so far; `encoding.json`. `made_of` says of which images each file is (`Shard.made_of`)."""

    plan: dict[str, Any]
    files: dict[str, StoredFile] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    made_of: dict[str, str] = field(default_factory=dict)

    def holds(self, shard: Shard) -> bool:
        """Whether the shard is done, of the same images."""
        return shard.name in self.files and self.made_of.get(shard.name) == shard.made_of

    def note(self, done: Done) -> None:
        """Take in a shard that is done."""
        name = done.file.name
        self.files[name], self.sums[name], self.made_of[name] = done.file, done.sums, done.made_of

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


def write_shards(job: EncodingJob, shards: Sequence[Shard], state: EncodingState, left_over: Found) -> int:
    """Make `shards`; each is written, and noted in `state`, while the next one is encoded.

    Of several processes each makes one in turn, and the first notes those of the others when all have made
    their next. Images that are `left_over` in a row of another file are copied from there. Batches never
    cross a shard's end, so that resuming repeats them. Returns how many images were encoded.

    Raises:
        DataError: the autoencoder's answer to an image is not finite in float16.
        StorageError: the disk is full or may not be written; finished shards stand.
    """

    here = world()

    def finish(shard: Shard, tensors: dict[str, Tensor]) -> Done:
        done = Done(write_tensors(job.out, shard.name, tensors), Sums.of(tensors), shard.made_of)
        if here.is_first:
            state.note(done)
            state.write(job.out)
        return done

    def settle(pending: Future[Done] | None) -> None:
        told = here.gather(here.together(lambda: None if pending is None else pending.result()))
        for done in filter(None, told):
            state.note(done)
        if here.is_first and any(told[1:]):
            state.write(job.out)

    with (
        job.progress.stage("Encoding", total=sum(len(shard.rows) for shard in shards)) as bar,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        pending: Future[Done] | None = None
        for start in range(0, len(shards), here.size):
            turn = shards[start : start + here.size]
            shard = turn[here.rank] if here.rank < len(turn) else None
            tensors = here.together(lambda shard=shard: shard and _tensors(job, shard, left_over, bar))
            bar.advance(sum(len(one.rows) for one in turn if one is not shard))
            settle(pending)
            pending = writer.submit(finish, shard, tensors) if shard and tensors else None
        settle(pending)
    return sum(image not in left_over for shard in shards for image in shard.images)


def _tensors(job: EncodingJob, shard: Shard, left_over: Found, bar: ProgressTask) -> dict[str, Tensor]:
    """The shard's tensors, float16 (N, C, h, w) on the CPU."""
    tensors: dict[str, Tensor] = {}
    for places, part in chain(_copied(job, shard, left_over), _encoded(job, shard, left_over)):
        for name, values in part.items():
            if name not in tensors:
                tensors[name] = torch.empty(len(shard.rows), *values.shape[1:], dtype=torch.float16)
            tensors[name][places] = values
        bar.advance(len(places))
    return tensors


def _copied(job: EncodingJob, shard: Shard, left_over: Found) -> Iterator[Part]:
    """What is found in other files."""
    found = defaultdict[str, list[tuple[int, int]]](list)
    for place, image in enumerate(shard.images):
        if image in left_over:
            file, row = left_over[image]
            found[file].append((place, row))
    for file, pairs in found.items():
        places, rows = map(list, zip(*pairs, strict=True))
        tensors, _ = map_safetensors(job.out / file)
        yield places, {name: values[rows] for name, values in tensors.items()}


def _encoded(job: EncodingJob, shard: Shard, left_over: Found) -> Iterator[Part]:
    """What the autoencoder makes of the other images."""
    todo = [place for place, image in enumerate(shard.images) if image not in left_over]
    rows = [shard.rows[place] for place in todo]
    for start, batch in batches(job, shard.split, rows):
        part = moments(job, batch)
        stop = start + len(batch)
        for name, values in part.items():
            if not bool(torch.isfinite(values).all()):
                raise DataError(
                    f"The autoencoder gives '{name}' that float16 cannot hold for images {rows[start]} to "
                    f"{rows[stop - 1]} of split '{shard.split}'.",
                    hint="Use another autoencoder: this one's latents are not finite or far too large.",
                )
        yield todo[start:stop], part


def batches(job: EncodingJob, split: str, rows: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Position in `rows` of the split and uint8 (B, 3, H, W), decoded ahead in a thread."""
    images, size = job.dataset.split(split), job.batch_size
    starts = deque(range(0, len(rows), size))

    def read(start: int) -> tuple[int, Tensor]:
        return start, images.images(rows[start : start + size])

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
