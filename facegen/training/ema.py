"""Exponential moving average of the weights, with warm-up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.training.parallel import local


def ema_decay(step: int, decay: float, warmup_power: float | None = None) -> float:
    """At most `decay`, and less in early steps, so that the random start is forgotten.

    `(1 + step) / (10 + step)`, or with a `warmup_power` p `1 - (1 + step)^-p`, as in diffusers' `EMAModel`.
    """
    if warmup_power is None:
        return min(decay, (1 + step) / (10 + step))
    return min(decay, 1 - (1 + step) ** -warmup_power)


class Ema:
    """Makes the parameters of `module`, a copy of `source`, follow it slowly.

    Parameters that are not trained and buffers are copied, not averaged.
    """

    def __init__(
        self, source: nn.Module, module: nn.Module, decay: float, warmup_power: float | None = None
    ) -> None:
        self.decay, self.warmup_power = decay, warmup_power
        self.module = module.eval().requires_grad_(False)
        pairs = list(zip(source.parameters(), module.parameters(), strict=True))
        self._source = [local(p) for p, _ in pairs if p.requires_grad]
        self._average = [local(q) for p, q in pairs if p.requires_grad]
        self._buffers = list(zip(module.buffers(), source.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int, skipped: Tensor) -> None:
        """Move the average towards the weights after step `step` (from 0), unless `skipped` is 1."""
        weight = (1 - skipped) * (1 - ema_decay(step, self.decay, self.warmup_power))
        pull(self._average, self._source, weight)

    @torch.no_grad()
    def copy_buffers(self) -> None:
        """Take over buffers such as batch-norm statistics; call before the copy is used or saved."""
        for average, current in self._buffers:
            average.copy_(current)


@torch.no_grad()
def pull(averages: list[Tensor], towards: list[Tensor], weight: Tensor) -> None:
    """Move each of `averages` by a share `weight` () of the way, without waiting to know it."""
    if weight.device.type == "cpu":  # nothing to wait for, and one pass over memory instead of three
        torch._foreach_lerp_(averages, towards, float(weight))  # pyright: ignore[reportPrivateImportUsage]
        return
    steps = torch._foreach_sub(towards, averages)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_mul_(steps, weight)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_add_(averages, steps)  # pyright: ignore[reportPrivateImportUsage]
