"""One encoding: what goes in, where it goes, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from facegen.autoencoders import LoadedAutoencoder
from facegen.encoding.options import EncodeOptions
from facegen.formats.dataset import Dataset
from facegen.formats.latents import LATENTS_FORMAT_VERSION, MOMENTS
from facegen.protocols import Progress

AUTOMATIC_SHARD_BYTES = 256 << 20
BATCH = 32
CPU_BATCH_PIXELS = 65_536  # more at once outgrow its caches: see docs/log.md of 2026-11-30
SCALING_SPLIT = "train"


def fast_batch(device: torch.device, image_size: int) -> int:
    """How many images of that many pixels a side `device` encodes best at once."""
    if device.type != "cpu":
        return BATCH
    return min(BATCH, max(1, CPU_BATCH_PIXELS // image_size**2))


@dataclass(frozen=True)
class EncodingJob:
    """The data set, the autoencoder on `device`, the folder `out`, and who is told how far it is."""

    dataset: Dataset
    loaded: LoadedAutoencoder
    out: Path
    options: EncodeOptions
    device: torch.device
    progress: Progress

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many images of each split are encoded: its first ones."""
        limit = self.options.limit or 1 << 62
        return {name: min(self.dataset.manifest.counts[name], limit) for name in self.dataset.splits}

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(C, h, w) of one latent, or (D,).

        Raises:
            UsageError: images of that size do not fit the autoencoder.
        """
        return self.loaded.module.latent_shape(self.dataset.manifest.image_size)

    @property
    def batch_size(self) -> int:
        """Images encoded at once."""
        return self.options.batch_size or fast_batch(self.device, self.dataset.manifest.image_size)

    @property
    def image_bytes(self) -> int:
        """What one image takes in a shard."""
        return torch.Size(self.shape).numel() * 2 * len(MOMENTS) * (2 if self.options.flips else 1)

    @cached_property
    def shard_size(self) -> int:
        """Images of a shard: as asked for, or a power of two, so that a shard is at most 256 MiB."""
        most = AUTOMATIC_SHARD_BYTES // self.image_bytes
        return self.options.shard_size or 1 << max(0, most.bit_length() - 1)

    @property
    def scaling_split(self) -> str:
        """The split that statistics are measured on."""
        return SCALING_SPLIT if SCALING_SPLIT in self.counts else next(iter(self.counts))

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the images that decides the bytes of the shards, and how they are scaled."""
        return {
            "latents_format_version": LATENTS_FORMAT_VERSION,
            "autoencoder": self.loaded.fingerprint,
            "dtype": self.options.dtype,
            "scaling": self.options.scaling,
            "flips": self.options.flips,
            "shard_size": self.shard_size,
            "limit": self.options.limit,
        }

    @property
    def plan(self) -> dict[str, Any]:
        """The settings, and of which images."""
        return {**self.settings, "dataset": self.dataset.manifest.fingerprint, "counts": self.counts}
