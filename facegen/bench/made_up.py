"""What is measured on: latents without meaning in facegen's own format, and how networks are trained on them.

How fast that is does not depend on what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from facegen.config.recipe import Recipe, parse_recipe
from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentIndex
from facegen.formats.latents_writing import write_index, write_records, write_tensors
from facegen.types import LabelSchema, LatentScaling

NUM_VALIDATION = 16
NEVER = 1_000_000  # steps: further than any measuring goes


@dataclass(frozen=True)
class Network:
    """A transformer with tokens of 2x2 cells, and how many images it is trained on at once."""

    name: str
    width: int
    depth: int
    num_heads: int
    batch_size: int


def write_latents(
    folder: Path,
    shape: tuple[int, ...],
    count: int,
    attributes: tuple[str, ...],
    shard_size: int | None = None,
) -> Path:
    """`count` training latents (C, H, W) of noise, labels by chance; standing ones are taken as they are.

    All shards of `shard_size` latents (left out: one holds all) have the same content.
    """
    if (folder / "index.json").is_file():
        return folder
    generator = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    shards, records = {}, {}
    for split, size in (("train", count), ("validation", NUM_VALIDATION)):
        most = min(size, shard_size or size)
        mean = torch.randn(most, *shape, generator=generator).half()
        log_variance = torch.full_like(mean, -6.0)
        shards[split] = tuple(
            write_tensors(
                folder,
                f"latents-{split}-{number:05d}.safetensors",
                {"mean": mean[: size - start], "log_variance": log_variance[: size - start]},
            )
            for number, start in enumerate(range(0, size, most))
        )
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


def recipe_of(network: Network, latents: Path, **training: Any) -> Recipe:
    """How `network` is trained: as the preset avatars says, on and on, with nothing written on the way."""
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 16},
            "data": {"path": str(latents)},
            "denoiser": {
                "kind": "dit",
                "patch_size": 2,
                "width": network.width,
                "depth": network.depth,
                "num_heads": network.num_heads,
            },
            "conditioner": {"kind": "attributes", "dim": network.width, "tokens": False},
            "diffusion": {"parameterisation": "flow", "timesteps": "logit_normal"},
            "optimizer": {"lr": 1e-4, "betas": [0.9, 0.99]},
            "training": {
                "max_steps": NEVER,
                "batch_size": network.batch_size,
                "validate_every_steps": NEVER,
                "checkpoint_every_steps": NEVER,
                "log_every_steps": 50,
                "trackers": [],
                "compile": False,
                **training,
            },
        }
    )
