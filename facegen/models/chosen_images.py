"""Which images of a split are looked at: rows drawn by a seed, and their images batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor


class ImageSource(Protocol):
    """Images by their row numbers: a split of a data set, or a folder of files."""

    def images(self, indices: Tensor) -> Tensor:
        """uint8 (N, 3, H, W)."""
        ...


def chosen_indices(available: int, count: int | None, seed: int) -> Tensor:
    """`count` indices below `available` drawn without replacement, ascending; all of them by default."""
    if count is None or count >= available:
        return torch.arange(available)
    return torch.randperm(available, generator=torch.Generator().manual_seed(seed))[:count].sort().values


def drawn_rows(available: int, count: int, seed: int) -> Tensor:
    """`count` row numbers below `available`, (count,): each row once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-count // available)
    return torch.cat([torch.randperm(available, generator=generator) for _ in range(rounds)])[:count]


def batches(source: ImageSource, indices: Tensor, batch_size: int) -> Iterator[Tensor]:
    """The images at `indices`, uint8 (up to `batch_size`, 3, H, W) at a time."""
    for part in indices.split(batch_size):
        yield source.images(part)
