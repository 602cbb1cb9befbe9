"""What a step does at the limits of a device: numbers too large for fp16, batches too large for memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support.devices import CUDA, DEVICES, measured
from support.training_parts import latent_trainer
from torch import Tensor

from facegen.models.recorded import CALLS_BEFORE, RecordedNetwork
from facegen.protocols import Batch
from facegen.training.trainer import Trainer
from facegen.types import UNCONDITIONAL, Conditioning

BATCH = {"cpu": 16, "cuda": 512}


@pytest.mark.parametrize("device", DEVICES)
def test_an_overflow_in_fp16_skips_the_step_and_halves_the_scale(
    device: str, recipe_on, tmp_path: Path
) -> None:
    recipe = recipe_on(device, max_steps=60, precision="fp16", max_bad_steps=50)
    trainer = latent_trainer(tmp_path / "run", recipe, device)
    trainer.scaler = torch.amp.GradScaler(device, init_scale=2.0**40)
    scales, weights = [trainer.scaler.get_scale()], [flat_weights(trainer)]
    plain = trainer._train_step

    def spy(batch: Batch) -> Batch:
        following = plain(batch)
        scales.append(trainer.scaler.get_scale())
        weights.append(flat_weights(trainer))
        return following

    trainer._train_step = spy  # type: ignore[method-assign]
    trainer.fit()
    skipped = [torch.equal(before, after) for before, after in pairwise(weights)]
    count = sum(skipped)
    measured(f"{device}, loss scale that fp16 came to from 2^40", f"{scales[-1]:g}, {count} steps skipped")
    assert skipped[:2] == [True, True]
    assert 2 <= count == trainer.skipped_steps < 50
    for overflowed, (before, after) in zip(skipped, pairwise(scales), strict=True):
        assert after == (before / 2 if overflowed else before)
    assert weights[-1].isfinite().all()


@pytest.mark.parametrize("device", DEVICES)
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_losses(
    device: str, recipe_on, tmp_path: Path
) -> None:
    recipe = recipe_on(device, max_steps=4, batch_size=BATCH[device], log_every_steps=1)
    losses, sizes = [], []
    for name, cut in (("roomy", without_limit), ("tight", too_small_for_half_the_batch)):
        trainer = latent_trainer(tmp_path / name, recipe, device)
        with cut(trainer, recipe.training.batch_size):
            trainer.fit()
        log = [entry for entry in trainer.keeper.run.metrics() if entry["group"] == "train"]
        losses.append([value for entry in log for value in (entry["loss"], entry["grad_norm"])])
        sizes.append(trainer.micro.size)
    warned = [line for line in trainer.progress.warned if "Out of memory" in line]  # type: ignore[attr-defined]
    measured(f"{device}, micro-batch of {BATCH[device]} in too little memory", sizes[1])
    assert sizes[0] == BATCH[device]
    assert 1 <= sizes[1] < BATCH[device] // 2
    assert len(warned) == 1
    # pieces are added up in another order
    assert losses[1] == pytest.approx(losses[0], rel=1e-4 if device == "cpu" else 1e-2)


@pytest.mark.parametrize("device", [CUDA])
def test_a_call_that_waits_for_the_device_is_not_recorded_and_leaves_it_usable(device: str) -> None:
    def waits(x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return x_t * timestep.max().item()

    network = RecordedNetwork(waits)
    x_t, timestep = torch.randn(2, 4, 8, 8, device=device), torch.rand(2, device=device)
    for _ in range(2 * CALLS_BEFORE):
        assert torch.equal(network(x_t, timestep, UNCONDITIONAL), x_t * timestep.max())
    assert [*network._recordings.values()] == [None]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    torch.manual_seed(0)
    assert torch.randn(3, device=device).isfinite().all()


@pytest.mark.parametrize("device", [CUDA])
def test_a_call_of_kernels_alone_is_recorded(device: str) -> None:
    def calculates(x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return (x_t.flatten(1) @ x_t.flatten(1).T).softmax(1) * timestep

    network = RecordedNetwork(calculates)
    for seed in range(2 * CALLS_BEFORE):
        torch.manual_seed(seed)
        x_t, timestep = torch.randn(2, 4, 8, 8, device=device), torch.rand(2, device=device)
        expected = calculates(x_t, timestep, UNCONDITIONAL)
        assert torch.equal(network(x_t, timestep, UNCONDITIONAL), expected)
    assert all(network._recordings.values())


def flat_weights(trainer: Trainer) -> Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in trainer.parameters])


@contextmanager
def without_limit(trainer: Trainer, batch_size: int) -> Iterator[None]:
    yield


@contextmanager
def too_small_for_half_the_batch(trainer: Trainer, batch_size: int) -> Iterator[None]:
    """Room for weights and a bit less than half of a batch's activations."""
    if trainer.device.type == "cpu":
        with _refusing_more_than(trainer, batch_size // 4):
            yield
        return
    gc.collect()  # the trainer before
    empty, full = torch.cuda.memory_allocated(), _peak_bytes_of_a_step(trainer)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((empty + 0.45 * (full - empty)) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _peak_bytes_of_a_step(trainer: Trainer) -> int:
    """Of forward and backward of a whole batch, whose gradients are thrown away again."""
    torch.cuda.reset_peak_memory_stats()
    trainer._backward(trainer._load_batch(0), 1.0, True)
    trainer.optimizer.zero_grad()
    return torch.cuda.max_memory_allocated()


@contextmanager
def _refusing_more_than(trainer: Trainer, limit: int) -> Iterator[None]:
    """As a device would that has room for `limit` images."""
    task: Any = trainer.task
    plain: Callable[..., Any] = task.losses

    def losses(module: Any, batch: Batch) -> dict[str, Tensor]:
        if len(batch["x0"]) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(module, batch)

    task.losses = losses
    yield
