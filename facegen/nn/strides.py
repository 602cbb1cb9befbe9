"""What a network that draws in few calls is told: in how many.

Letters: B batch, D features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from facegen.types import Conditioning

STRIDE = "stride"  # its name among a model's parts
CALLS = (1, 2, 4, 8, 16)
MOST_CALLS = CALLS[-1]


class Strides(nn.Module):
    """Adds a learned vector for each of `CALLS` to the condition's; zero at initialisation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(len(CALLS), dim))

    def forward(self, conditioning: Conditioning, calls: Int64[Tensor, " B"]) -> Conditioning:
        """The conditioning of walks of `calls` steps, each one of `CALLS`."""
        if conditioning.vector is None:
            raise ValueError("a stride is told beside a condition vector, and there is none")
        number = torch.log2(calls.float()).round().long()
        return replace(conditioning, vector=conditioning.vector + self.vectors[number])
