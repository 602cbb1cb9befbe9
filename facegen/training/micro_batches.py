"""Gradient accumulation by slicing a batch, with pieces that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from facegen.config.recipe import Recipe
from facegen.errors import UsageError
from facegen.protocols import Batch, Progress

Backward = Callable[[Batch, float, bool], dict[str, Tensor]]
"""Forward and backward of a micro-batch that is `share` of the batch, and may be its last; returns its losses
times share."""


def cut_alike(before: Mapping[str, Any], now: Recipe) -> bool:
    """Whether the recipe `before` cuts batches as `now` does, so that pieces found to fit still count."""
    training = before["training"]
    keys = ("batch_size", "accumulation_steps")
    return all(training.get(key) == getattr(now.training, key) for key in keys)


class MicroBatches:
    """Cuts a process's batches into micro-batches of `size`; the effective batch never changes.

    A batch holds all the randomness of its step, so that cutting it changes nothing but rounding. Of several
    processes one cannot take more, smaller pieces than the others wait for: there it stops.
    """

    def __init__(self, batch_size: int, accumulation_steps: int, progress: Progress, *, alone: bool) -> None:
        self.size = -(-batch_size // accumulation_steps)
        self._batch_size, self._progress, self._alone = batch_size, progress, alone

    def run(self, batch: Batch, backward: Backward, zero_grad: Callable[[], None]) -> dict[str, Tensor]:
        """Accumulate the gradients of the whole batch; return its mean losses.

        Raises:
            UsageError: not even a single example fits into memory.
        """
        size_before = self.size
        while (losses := self._attempt(batch, backward)) is None:
            zero_grad()
            if torch.accelerator.is_available():
                torch.accelerator.empty_cache()
            if not self._alone and self.size > 1:
                raise UsageError(
                    f"Out of memory with micro-batches of {self.size} in a process of several.",
                    hint="Make them smaller: --set training.accumulation_steps="
                    f"{2 * -(-self._batch_size // self.size)}; the effective batch stays the same.",
                )
            if self.size == 1:
                raise UsageError(
                    "Out of memory even with one example at a time.",
                    hint="Train a smaller network (--set denoiser.width=...), or on a device with more "
                    "memory.",
                )
            self.size = -(-self.size // 2)
        if self.size < size_before:
            self._progress.warn(
                f"Out of memory with micro-batches of {size_before}: {self.size} from now on; "
                f"the effective batch stays {self._batch_size}."
            )
        return losses

    def _attempt(self, batch: Batch, backward: Backward) -> dict[str, Tensor] | None:
        total: dict[str, Tensor] = {}
        try:
            pieces = list(zip(*(value.split(self.size) for value in batch.values()), strict=True))
            for number, values in enumerate(pieces, start=1):
                piece, share = dict(zip(batch, values, strict=True)), len(values[0]) / self._batch_size
                for name, value in backward(piece, share, number == len(pieces)).items():
                    total[name] = total[name] + value if name in total else value
        except (torch.OutOfMemoryError, MemoryError):
            return None  # leaving the handler frees the traceback, and with it the failed graph
        except RuntimeError as error:
            if "DefaultCPUAllocator" not in str(error):  # what torch raises on CPU
                raise
            return None
        return total
