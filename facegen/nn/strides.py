"""What a network that draws in few calls is told: in how many.

Letters: B batch, D features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from facegen.types import Conditioning

STRIDE = "stride"  # its name among a model's parts
CALLS = (1, 2, 4, 8, 16)
MOST_CALLS = CALLS[-1]


class Strides(nn.Module):
    """Adds a learned vector for each of `CALLS` to the condition's (B, D); zero at initialisation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(len(CALLS), dim))

    def forward(self, conditioning: Conditioning, calls: int | Tensor) -> Conditioning:
        """The conditioning of walks of `calls` steps, one of `CALLS` for all or int64 (B,)."""
        if conditioning.vector is None:
            raise ValueError("a stride is told beside a condition vector, and there is none")
        index = CALLS.index(calls) if isinstance(calls, int) else calls.float().log2().round().long()
        return replace(conditioning, vector=conditioning.vector + self.vectors[index])
