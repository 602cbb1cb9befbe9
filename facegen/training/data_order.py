"""Which examples a step sees, as pure functions of the seed.

The data are one endless stream: epoch 0 in its order, then epoch 1 in its own, and so on; step k takes the
k-th slice of `batch_size`, of which each process takes its part. Nothing has to be saved to resume anywhere,
inside an epoch included, and every example comes exactly once an epoch whatever the batch size.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import torch
from torch import Generator, Tensor


def seed_for(purpose: str, seed: int, number: int = 0) -> int:
    """A 63-bit seed; different purposes and numbers give unrelated streams."""
    digest = blake2b(f"{purpose}/{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@lru_cache(maxsize=2)  # a batch touches two epochs at a boundary
def epoch_order(num_examples: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch: a permutation (num_examples,) int64."""
    generator = Generator().manual_seed(seed_for("epoch", seed, epoch))
    return torch.randperm(num_examples, generator=generator)


def examples_at(places: Tensor, num_examples: int, seed: int) -> Tensor:
    """Examples (B,) int64 at rising `places` (B,) int64 of the stream."""
    epochs, offsets = places // num_examples, places % num_examples
    numbers: list[int] = epochs.unique().tolist()
    return torch.cat([epoch_order(num_examples, seed, n)[offsets[epochs == n]] for n in numbers])
