"""Training steps of facegen's own trainer, timed from outside while `Trainer.fit` makes them.

A window is some tens of steps between two moments at which the device has done everything. Windows of
ordinary steps take turns with windows in which the next batch is the last one again: what these save is what
loading costs.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from facegen.bench.made_up import write_latents
from facegen.protocols import Batch
from facegen.training.trainer import Trainer
from gpu_stages.context import Context, finished
from gpu_stages.data import ATTRIBUTES, LARGE, SHAPE, SMALL, TINY, Network, recipe_of, trainer_of
from gpu_stages.kernels import profiled
from gpu_stages.reference import reference_speed

ORDINARY, SAME_BATCH = "ordinary", "same batch"
COUNTED_IMAGES = 8
PROFILED_STEPS = 3
COMPILE_SECONDS = 45.0  # wanted to begin something that compiles


class Enough(Exception):
    """Everything is measured; what `Trainer.fit` would do next is not wanted."""


@dataclass(frozen=True)
class Plan:
    """Steps before measuring, steps of a window, and how many windows of either kind."""

    warm_up_steps: int
    window_steps: int
    windows: int


FULL, SHORT = Plan(10, 25, 3), Plan(1, 2, 1)


def training_small(context: Context) -> None:
    """Steps of the small network: facegen's and the reference's, plain and compiled."""
    _compare(context, TINY if context.smoke else SMALL)


def training_large(context: Context) -> None:
    """The same of the large network."""
    _compare(context, TINY if context.smoke else LARGE)


def number_formats(context: Context) -> None:
    """Steps of the small network in other formats than the one it is trained in by default."""
    network = TINY if context.smoke else SMALL
    for name, precision, products in (
        ("fp32", "fp32", "highest"),
        ("fp32 with TF32 products", "fp32", "high"),
        ("fp16", "fp16", None),
    ):
        context.part(name, lambda p=precision, m=products: _speed(context, network, p, m), 5.0)


def _speed(context: Context, network: Network, precision: str, products: str | None) -> dict[str, Any]:
    def before() -> None:  # once the trainer is there, which may choose products by itself
        if products is not None:
            torch.set_float32_matmul_precision(products)

    return facegen_speed(context, network, precision=precision, before=before, kernels=False)


def _compare(context: Context, network: Network) -> None:
    context.part("facegen", lambda: facegen_speed(context, network))
    context.part("reference", lambda: reference_speed(context, network, _latents(context)))
    if context.smoke:
        context.record("facegen compiled", {"skipped": "compiling takes longer than a smoke test may"})
        return
    context.part("facegen compiled", lambda: facegen_speed(context, network, compile=True), COMPILE_SECONDS)
    context.part(
        "reference compiled",
        lambda: reference_speed(context, network, _latents(context), compiled=True),
        COMPILE_SECONDS,
    )


def _latents(context: Context) -> Any:
    return write_latents(context.scratch / "latents", SHAPE, 64 if context.smoke else 4096, ATTRIBUTES)


def facegen_speed(
    context: Context,
    network: Network,
    *,
    before: Callable[[], None] = lambda: None,
    kernels: bool = True,
    **training: Any,
) -> dict[str, Any]:
    """Everything about the steps of a `Trainer` of `network`; `before` is called ahead of the first one."""
    recipe = recipe_of(network, _latents(context), **training)
    run = context.scratch / f"{context.file.stem}-{len(context.results)}"
    trainer = trainer_of(recipe, run, context.device)
    flops = flops_per_image(trainer)
    meter = Meter(trainer, SHORT if context.smoke else FULL, context)
    before()
    return {
        "precision": trainer.precision.name,
        "parameters": sum(p.numel() for p in trainer.parameters),
        "batch_size": network.batch_size,
        "flops_per_image": flops,
        **meter.run(),
        "kernels": meter.kernels() if kernels else None,
    }


def flops_per_image(trainer: Trainer) -> float:
    """Floating-point operations of an image's forward and backward pass, by torch's counter.

    Attention is counted as the two products it is, whatever kernel computes it.
    """
    batch = {name: value[:COUNTED_IMAGES] for name, value in trainer._load_batch(0).items()}
    count = len(batch["x0"])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        trainer.task.losses(trainer.module, batch)["loss"].backward()
    trainer.optimizer.zero_grad()
    return counter.get_total_flops() / count


class Meter:
    """Stands between a trainer and its steps."""

    def __init__(self, trainer: Trainer, plan: Plan, context: Context) -> None:
        self._trainer, self._plan, self._context = trainer, plan, context
        self._plain_step, self._plain_load = trainer._train_step, trainer._load_batch
        pairs = [(ORDINARY, plan.window_steps), (SAME_BATCH, plan.window_steps)] * plan.windows
        self._phases = [("warm-up", plan.warm_up_steps), *pairs]
        self._phase, self._steps, self._todo, self._began = "", 0, 0, 0.0
        self._seconds = defaultdict[str, list[float]](list)  # of a step, a number a window
        self._loading_seconds = 0.0  # of the host, in ordinary windows
        self._made, self._first_step_seconds = 0, 0.0
        self._batch: Batch = {}

    def run(self) -> dict[str, Any]:
        """Train until everything is measured."""
        trainer: Any = self._trainer
        trainer._train_step, trainer._load_batch = self._step, self._load
        try:
            self._trainer.fit()
        except Enough:
            pass
        finally:
            trainer._train_step, trainer._load_batch = self._plain_step, self._plain_load
        return self._results()

    def kernels(self) -> dict[str, Any]:
        """What some further steps are made of."""
        batch = self._batch

        def step() -> None:
            nonlocal batch
            batch = self._plain_step(batch)

        step()
        trace = self._context.scratch / "trace.json"
        return profiled(step, PROFILED_STEPS, self._trainer.device, trace)

    def _results(self) -> dict[str, Any]:
        ordinary, same = self._seconds[ORDINARY], self._seconds[SAME_BATCH]
        if not ordinary:
            raise TimeoutError("no window was finished in time")
        device, size = self._trainer.device, self._trainer.config.batch_size
        seconds = median(ordinary)
        return {
            "images_per_second": size / seconds,
            "step_ms": 1e3 * seconds,
            "step_ms_of_windows": [round(1e3 * each, 3) for each in ordinary],
            "loading_share": 1 - median(same) / seconds if same else None,
            "loading_host_share": self._loading_seconds / (self._plan.window_steps * sum(ordinary)),
            "micro_batch": self._trainer.micro.size,
            "first_step_seconds": self._first_step_seconds,
            "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            "loss": self._trainer.window.own("loss"),
        }

    def _step(self, batch: Batch) -> Batch:
        if self._todo == 0:
            self._next_phase()
        self._todo -= 1
        self._batch = batch
        if self._made == 0:
            began = finished(self._trainer.device)
            following = self._plain_step(batch)
            self._first_step_seconds = finished(self._trainer.device) - began
        else:
            following = self._plain_step(batch)
        self._made += 1
        return following

    def _next_phase(self) -> None:
        now = finished(self._trainer.device)
        if self._steps:
            self._seconds[self._phase].append((now - self._began) / self._steps)
        if not self._phases or self._context.left_seconds < 1:
            raise Enough
        if self._phase == "warm-up" and self._trainer.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._trainer.device)
        self._phase, self._steps = self._phases.pop(0)
        self._todo, self._began = self._steps, finished(self._trainer.device)

    def _load(self, step: int) -> Batch:
        if self._phase == SAME_BATCH:
            return self._batch
        began = time.perf_counter()
        batch = self._plain_load(step)
        if self._phase == ORDINARY:
            self._loading_seconds += time.perf_counter() - began
        return batch
