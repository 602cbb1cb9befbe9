"""Which images go into which shard, and what finished latents in the folder are worth to a data set.

An image is known by the sha256 of its PNG: that and the settings of the encoding decide its latent. So a
shard that stands stays as it is while all its images are in their split, wherever they stand there and
whatever is said of them; all other images go into new shards.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from torch import Tensor

from facegen.encoding.job import EncodingJob
from facegen.errors import StorageError
from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentIndex, LatentStore, StoredFile, check_file, read_index
from facegen.protocols import Progress

Images = dict[str, list[bytes]]
"""Per split the sha256 of each image's PNG."""


@dataclass(frozen=True)
class Shard:
    """One file of latents: `rows` of a split of the data set as the file holds them, and their `images`."""

    split: str
    name: str
    rows: Sequence[int]
    images: Sequence[bytes]

    @property
    def made_of(self) -> str:
        """sha256 over its images: with the settings, all that its bytes depend on."""
        return sha256_of(b"".join(self.images))


@dataclass(frozen=True)
class Standing:
    """Finished latents of the same settings: their index, and the names of files that are not what they were.

    `images` are those behind the rows of the shards; a split of which that is not known is left out.
    """

    index: LatentIndex
    damaged: frozenset[str]
    images: Images

    @property
    def whole(self) -> dict[str, StoredFile]:
        """The files that are as they were written, by name."""
        return {file.name: file for file in self.index.files if file.name not in self.damaged}

    @property
    def all_images(self) -> set[bytes]:
        return {image for images in self.images.values() for image in images}

    def shards(self, split: str) -> Iterator[tuple[str, list[bytes]]]:
        """Each shard's name and images, none where they are not known."""
        images = iter(self.images.get(split, ()))
        for file in self.index.shards.get(split, ()):
            yield file.name, list(islice(images, file.count))

    def left_over(self, kept: set[str]) -> dict[bytes, tuple[str, int]]:
        """File and row of every image in whole shards that are not `kept`."""
        return {
            image: (name, row)
            for split in self.index.shards
            for name, images in self.shards(split)
            if name not in kept and name not in self.damaged
            for row, image in enumerate(images)
        }


def images_of(job: EncodingJob) -> Images:
    """What the data set holds, as far as it is encoded."""
    return {
        split: [
            sha256(row["image"]["bytes"]).digest() for row in islice(job.dataset.split(split).rows(), count)
        ]
        for split, count in job.counts.items()
    }


def standing_latents(folder: Path, progress: Progress) -> Standing:
    """The latents in `folder`, the content of every file compared with its checksum.

    Raises:
        DataError: no finished latents, or of another format version.
    """
    index, damaged = read_index(folder), set[str]()
    with progress.stage("Checking the latents", total=len(index.files)) as bar:
        for file in index.files:
            try:
                check_file(folder, file, content=True)
            except StorageError:
                damaged.add(file.name)
            bar.advance()
    store = LatentStore(folder, index)
    known = [split for split, file in index.images.items() if file.name not in damaged]
    return Standing(index, frozenset(damaged), {split: _hashes(store.split(split).images) for split in known})


def _hashes(images: Tensor | None) -> list[bytes]:
    return [] if images is None else [row.tobytes() for row in images.numpy()]


def layout(job: EncodingJob, images: Images, standing: Standing | None) -> list[Shard]:
    """Shards of every image, split by split: first those that stay, then new ones in the data set's order.

    A damaged shard keeps its place and name. New ones get numbers that no standing one has.
    """
    shards: list[Shard] = []
    for split, hashes in images.items():
        waiting = defaultdict[bytes, deque[int]](deque)
        for row, image in enumerate(hashes):
            waiting[image].append(row)
        number = 0
        for name, held in standing.shards(split) if standing else ():
            number = max(number, int(Path(name).stem.rsplit("-", 1)[1]) + 1)
            if held and all(len(waiting[image]) >= count for image, count in Counter(held).items()):
                shards.append(Shard(split, name, [waiting[image].popleft() for image in held], held))
        rest = sorted(row for rows in waiting.values() for row in rows)
        for start in range(0, len(rest), job.shard_size):
            rows = rest[start : start + job.shard_size]
            name = f"latents-{split}-{number:05d}.safetensors"
            shards.append(Shard(split, name, rows, [hashes[row] for row in rows]))
            number += 1
    return shards


def what_changed(shards: Sequence[Shard], standing: Standing) -> str:
    """How many shards are kept and made anew, and why, in a line."""
    stood, known = {file.name for file in standing.index.files}, standing.all_images
    reasons = Counter[str]()
    for shard in shards:
        if shard.name in standing.damaged:
            reasons["damaged"] += 1
        elif shard.name not in stood:
            reasons["with new images" if not known.issuperset(shard.images) else "regrouped"] += 1
    made = reasons.total()
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    told = f"{made} of {len(shards)} shards made anew" + (f" ({why})" if why else "")
    return f"{told}, {len(shards) - made} kept; labels and captions are the data set's."
