"""Random numbers for a batch, where it does not matter which."""

from __future__ import annotations

import torch

from facegen.draws import Draws


def draws_of(count: int, seed: int = 0) -> Draws:
    """Those of the first `count` samples."""
    return Draws(seed, torch.arange(count))
