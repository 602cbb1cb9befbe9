"""A process of `scaling.py`: facegen's own trainer, which pauses now and then to tell where its time went."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.formats.run import RunDirectory
from facegen.processes import joined, world
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.trainer import Trainer
from facegen.training.wiring import count_parameters, wire_task

PRESET = "celeba-attributes"
ENDLESS = 1_000_000  # steps: nobody waits for the end of the run

COMPUTE, GRADIENTS = "compute", "gradients"
FINITE, OPTIMIZER, LOADING = "finite", "optimizer", "loading"


class TimedTrainer(Trainer):
    """The trainer as it is, with a clock on its phases.

    Before the first step, and after every `window_steps`, it waits for a word from `pipe`. It sends there how
    many seconds a step took: by phase; whole ("step"); of these without a processor for this thread ("idle");
    and of the processor in the other threads ("threads").
    """

    def __init__(self, *arguments: Any, pipe: Connection, window_steps: int) -> None:
        super().__init__(*arguments)
        self._pipe, self._window_steps = pipe, window_steps
        self._seconds: dict[str, float] = defaultdict(float)
        self._last_bucket_at: float | None = None
        losses: Any = self.spread.losses
        if isinstance(losses, DistributedDataParallel):
            losses.register_comm_hook(None, self._all_reduce)

    def _all_reduce(self, _, bucket):  # DDP reads annotations, and as strings it takes none
        """What DDP does by itself with a bucket of gradients, noting when it is sent on its way."""
        self._last_bucket_at = time.perf_counter()
        everybody: Any = dist.group.WORLD
        return allreduce_hook(everybody, bucket)

    def _steps(self, speed: Any) -> None:
        self._next_window()
        super()._steps(speed)

    def _after_step(self, speed: Any, *, stopping: bool) -> None:
        super()._after_step(speed, stopping=stopping)
        if self.step % self._window_steps == 0:
            took = [now - before for now, before in zip(_clocks(), self._began, strict=True)]
            whole, processor, thread = took
            self._seconds["other"] = whole - sum(self._seconds.values())
            self._seconds.update({"step": whole, "idle": whole - thread, "threads": processor - thread})
            self._pipe.send({name: value / self._window_steps for name, value in self._seconds.items()})
            self._next_window()

    def _next_window(self) -> None:
        self._pipe.recv()
        self._seconds.clear()
        self._began = _clocks()

    def _load_batch(self, step: int) -> Batch:
        began = time.perf_counter()
        batch = super()._load_batch(step)
        self._seconds[LOADING] += time.perf_counter() - began
        return batch

    def _backward(self, micro_batch: Batch, share: float, last: bool) -> dict[str, Tensor]:
        began, self._last_bucket_at = time.perf_counter(), None
        losses = super()._backward(micro_batch, share, last)
        ended = time.perf_counter()
        # The last bucket is full when the last gradient is calculated: from then on there is only waiting.
        calculated = ended if self._last_bucket_at is None else self._last_bucket_at
        self._seconds[COMPUTE] += calculated - began
        self._seconds[GRADIENTS] += ended - calculated
        return losses

    def _count(self, total: Tensor) -> Tensor:
        began = time.perf_counter()
        skipped = super()._count(total)
        self._seconds[FINITE] += time.perf_counter() - began
        return skipped

    def _update_weights(self, skipped: Tensor) -> None:
        began = time.perf_counter()
        super()._update_weights(skipped)
        self._seconds[OPTIMIZER] += time.perf_counter() - began


def _clocks() -> tuple[float, float, float]:
    """Seconds on the wall, of the processor in this process, and in this thread."""
    return time.perf_counter(), time.process_time(), time.thread_time()


def train_in_windows(
    pipe: Connection, core: int | None, launched: dict[str, str], recipe: Recipe, run: Path, window_steps: int
) -> None:
    """Train without end on `core` alone with one thread; `launched` are torchrun's variables, if any.

    Says first how many parameters are trained, and in which precision. A process that is not launched has a
    folder of its own, named after `run`.
    """
    os.environ.update(launched)
    if core is not None:
        os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    with joined():
        wired = wire_task(recipe)
        folder = RunDirectory(run if launched else run.with_name(f"{run.name}-{os.getpid()}"))
        world().first(lambda: _start(folder, recipe))
        keeper = CheckpointKeeper(folder, wired.info, recipe.training.keep_last)
        words = (wired.task, recipe, keeper, SilentProgress(), torch.device("cpu"))
        trainer = TimedTrainer(*words, pipe=pipe, window_steps=window_steps)
        pipe.send((count_parameters(trainer.module), trainer.precision.name))
        trainer.fit()


def _start(folder: RunDirectory, recipe: Recipe) -> None:
    folder.path.mkdir(parents=True)
    folder.start(recipe)


def recipe_of(latents: Path, batch_size: int, size: str) -> Recipe:
    """The preset on `latents`, `batch_size` images a step of all processes, without end or validation."""
    never = ("max_steps", "validate_every_steps", "checkpoint_every_steps", "preview_every_steps")
    words = {
        "data.path": latents,
        "data.flip": "false",
        "training.batch_size": batch_size,
        **{f"training.{name}": ENDLESS for name in never},
    }
    return compose(PRESET, overrides=[f"{name}={value}" for name, value in words.items()], size=size)
