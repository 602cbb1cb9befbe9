"""Data sets that are written again with other images, and what is in latents of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from facegen.encoding.options import EncodeOptions
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.formats.latents import LatentStore
from facegen.types import LabelSchema

SIZE = 8
LABELS = LabelSchema(attributes=("Smiling",))
OPTIONS = EncodeOptions(flips=True, shard_size=3, batch_size=2, device="cpu")


@dataclass(frozen=True)
class Face:
    """A record; `seed` draws its picture, `caption` goes with it."""

    id: str
    seed: int
    smiling: bool | None = True
    caption: str = "a face"

    @property
    def png(self) -> bytes:
        generator = torch.Generator().manual_seed(self.seed)
        return encode_png(torch.randint(256, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8))


def faces(*seeds: int) -> list[Face]:
    return [Face(f"face-{seed}", seed) for seed in seeds]


def write_faces(folder: Path, **splits: list[Face]) -> Dataset:
    """A data set of these splits, in this order."""
    writer = DatasetWriter(folder, LABELS, {}, {"size": SIZE})
    for split, held in splits.items():
        rows = [
            {
                "id": face.id,
                "image": face.png,
                "split": split,
                "caption": face.caption,
                "captions": [face.caption],
                "identity": None,
                "sha256": sha256_of(face.png),
                "Smiling": face.smiling,
            }
            for face in held
        ]
        if rows:
            writer.write_split(split, rows, len(rows), rows_per_file=1000)
    writer.finish(rejects=[], kind="image-folder", image_size=SIZE)
    return Dataset.open(folder)


@dataclass(frozen=True)
class Held:
    """One split of latents, row by row: labels, and mean and log variance, mirrored ones last."""

    frame: pd.DataFrame
    moments: list[Tensor]


def held_by(folder: Path) -> dict[str, Held]:
    """What is in latents, every checksum compared, by split."""
    store, held = LatentStore.open(folder, verify=True), {}
    for name in store.index.shards:
        split = store.split(name)
        indices = torch.arange(len(split))
        flips = [None, torch.ones(len(split), dtype=torch.bool)] if store.index.flips else [None]
        gathered = [split.gather(indices, flipped) for flipped in flips]
        held[name] = Held(split.frame, [part for m in gathered for part in (m.mean, m.log_variance)])
    return held


def assert_same_latents(folder: Path, other: Path) -> None:
    """Row by row the same records and moments, the same scaling, and nothing in `folder` but its latents."""
    here, there = held_by(folder), held_by(other)
    assert here.keys() == there.keys()
    for name, expected in there.items():
        pd.testing.assert_frame_equal(here[name].frame, expected.frame)
        assert all(map(torch.equal, here[name].moments, expected.moments))
    index, fresh = LatentStore.open(folder).index, LatentStore.open(other).index
    for mine, expected in (
        (index.scaling.shift, fresh.scaling.shift),
        (index.scaling.scale, fresh.scaling.scale),
    ):
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(expected), rtol=1e-9, atol=1e-9)
    assert (index.counts, index.dataset_fingerprint) == (fresh.counts, fresh.dataset_fingerprint)
    named = {"index.json", *(file.name for file in index.files)}
    assert {path.name for path in folder.iterdir() if path.is_file()} == named
