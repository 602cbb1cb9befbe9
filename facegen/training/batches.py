"""The batch of a step, and this process's part of it, with every random number that it needs."""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.draws import Draws
from facegen.errors import UsageError
from facegen.nn.sample_dropout import SampleDropout
from facegen.processes import World
from facegen.protocols import Batch, TrainingTask
from facegen.training.data_order import examples_at

DROPOUT_KEYS = "dropout_keys"  # in a batch: (B, layers) int64


class Batches:
    """Batches of `batch_size` images in the endless stream of a task's examples, shared out among processes.

    Each image has its numbers from (seed, its place in the stream) alone, whichever process draws them.
    """

    def __init__(
        self,
        task: TrainingTask,
        seed: int,
        batch_size: int,
        world: World,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        dropouts: int = 0,
    ) -> None:
        self._task, self._seed, self._world = task, seed, world
        self._batch_size, self._device, self._dtype, self._dropouts = batch_size, device, dtype, dropouts
        self.share = images_of_each(batch_size, getattr(task, "group_size", 1), world.size)

    def load(self, start: int) -> dict[str, Tensor]:
        """This process's part of the batch that begins at place `start` of the stream."""
        places = start + self._world.rank * self.share + torch.arange(self.share)
        draws = Draws(self._seed, places, self._device)
        batch = dict(self._task.batch(examples_at(places, self._task.num_examples, self._seed), draws))
        if self._dtype == torch.float64:
            batch = {k: value.double() if value.is_floating_point() else value for k, value in batch.items()}
        if self._dropouts:
            batch[DROPOUT_KEYS] = torch.stack([draws.keys() for _ in range(self._dropouts)], dim=1)
        return batch


def set_dropout_keys(layers: list[SampleDropout], batch: Batch) -> None:
    """Tell each layer whose samples it is going to see."""
    for number, layer in enumerate(layers):
        layer.keys = batch[DROPOUT_KEYS][:, number]


def images_of_each(batch_size: int, group_size: int, num_processes: int) -> int:
    """How many images of a batch each process takes.

    Raises:
        UsageError: they cannot be shared out evenly; names the nearest batch sizes that can.
    """
    whole = group_size * num_processes if num_processes > 1 else 1
    if batch_size % whole:
        nearest = [size for size in (batch_size // whole * whole, -(-batch_size // whole) * whole) if size]
        pairs = " in whole pairs" if group_size > 1 else ""
        raise UsageError(
            f"A batch of {batch_size} cannot be shared out{pairs} among {num_processes} processes.",
            hint=" or ".join(f"--set training.batch_size={size}" for size in nearest),
        )
    return batch_size // num_processes
