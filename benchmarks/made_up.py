"""Latents without meaning in facegen's own format: how fast they are trained on does not depend on that."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentIndex, write_index, write_records, write_tensors
from facegen.types import LabelSchema, LatentScaling

NUM_VALIDATION = 16


def write_latents(folder: Path, shape: tuple[int, ...], count: int, attributes: tuple[str, ...]) -> Path:
    """`count` training latents (C, H, W) of noise, labels by chance; standing ones are taken as they are."""
    if (folder / "index.json").is_file():
        return folder
    generator = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    shards, records = {}, {}
    for split, size in (("train", count), ("validation", NUM_VALIDATION)):
        mean = torch.randn(size, *shape, generator=generator)
        tensors = {"mean": mean.half(), "log_variance": torch.full_like(mean, -6.0).half()}
        shards[split] = (write_tensors(folder, f"latents-{split}-00000.safetensors", tensors),)
        labels = torch.rand(size, len(attributes), generator=generator) < 0.3
        frame = pd.DataFrame({"id": [f"{split}-{number}" for number in range(size)]})
        values = {name: labels[:, column].int().tolist() for column, name in enumerate(attributes)}
        frame = pd.concat([frame, pd.DataFrame(values, dtype="Int8")], axis=1)
        records[split] = write_records(folder, split, frame)
    index = LatentIndex(
        sample_shape=shape,
        scaling=LatentScaling((0.0,) * shape[0], (1.0,) * shape[0]),
        labels=LabelSchema(attributes=attributes),
        image_size=8 * shape[-1],
        flips=False,
        autoencoder={"source": "made-up", "kind": "kl", "fingerprint": sha256_of(b"made-up")},
        dataset_fingerprint=sha256_of(b"made-up"),
        transform={},
        shards=shards,
        records=records,
    )
    write_index(folder, index)
    return folder
