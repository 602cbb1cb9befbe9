"""Gradient accumulation by slicing a batch, with pieces that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.protocols import Batch, Progress

Backward = Callable[[Batch, float], dict[str, Tensor]]
"""Forward and backward of a micro-batch that is `share` of the batch; returns its losses times share."""


class MicroBatches:
    """Cuts batches into micro-batches of `size`; the effective batch never changes.

    A batch holds all the randomness of its step, so that cutting it changes nothing but rounding.
    """

    def __init__(self, batch_size: int, accumulation_steps: int, progress: Progress) -> None:
        self.size = -(-batch_size // accumulation_steps)
        self._batch_size, self._progress = batch_size, progress

    def run(self, batch: Batch, backward: Backward, zero_grad: Callable[[], None]) -> dict[str, Tensor]:
        """Accumulate the gradients of the whole batch; return its mean losses.

        Raises:
            UsageError: not even a single example fits into memory.
        """
        size_before = self.size
        while (losses := self._attempt(batch, backward)) is None:
            zero_grad()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
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
            for values in zip(*(value.split(self.size) for value in batch.values()), strict=True):
                piece, share = dict(zip(batch, values, strict=True)), len(values[0]) / self._batch_size
                for name, value in backward(piece, share).items():
                    total[name] = total[name] + value if name in total else value
        except (torch.OutOfMemoryError, MemoryError):
            return None  # leaving the handler frees the traceback, and with it the failed graph
        except RuntimeError as error:
            if "DefaultCPUAllocator" not in str(error):  # what torch raises on CPU
                raise
            return None
        return total
