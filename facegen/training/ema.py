"""Exponential moving average of the weights, with warm-up."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


def ema_decay(step: int, decay: float) -> float:
    """`min(decay, (1 + step) / (10 + step))`, so that the random start is forgotten within some steps."""
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """A copy of a module whose parameters follow it slowly; `module` is ready for evaluation.

    Parameters that are not trained and buffers are copied, not averaged.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = deepcopy(source).eval().requires_grad_(False)
        pairs = list(zip(source.parameters(), self.module.parameters(), strict=True))
        self._source = [p.detach() for p, _ in pairs if p.requires_grad]
        self._average = [q.detach() for p, q in pairs if p.requires_grad]
        self._buffers = list(zip(self.module.buffers(), source.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after step `step` (from 0)."""
        weight = 1 - ema_decay(step, self.decay)
        torch._foreach_lerp_(self._average, self._source, weight)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def copy_buffers(self) -> None:
        """Take over buffers such as batch-norm statistics; call before the copy is used or saved."""
        for average, current in self._buffers:
            average.copy_(current)

    def state_dict(self) -> dict[str, Tensor]:
        self.copy_buffers()
        return self.module.state_dict()
