"""Which device a command runs on, and what float32 means there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from facegen.errors import UsageError
from facegen.processes import launched_size, world


def resolve_device(name: str) -> torch.device:
    """The device meant by "auto", "cpu", "cuda", "cuda:1", "mps" or "xpu"; auto takes the fastest there is.

    Of several processes on a machine each takes a GPU of its own. From here on, float32 products on NVIDIA's
    cards may take TF32, whose factors have 10 bits of mantissa; `full_float32` is for scores.

    Raises:
        UsageError: no such device on this machine, or fewer GPUs than processes.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        name = "cpu" if accelerator is None else accelerator.type
    if accelerator is not None and name == accelerator.type != "mps" and world().is_many:
        name = f"{name}:{_own_gpu()}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        allowed = "auto, cpu, cuda, cuda:1, mps, xpu"
        raise UsageError(f"Unknown device '{name}'.", hint=f"Allowed: {allowed}") from error
    is_accelerator = accelerator is not None and device.type == accelerator.type
    count = torch.accelerator.device_count() if is_accelerator else int(device.type == "cpu")
    if not 0 <= (device.index or 0) < count:  # torch wraps large numbers around
        raise UsageError(f"This machine has no device '{name}'.", hint="Use --device auto")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return device


@contextmanager
def full_float32() -> Iterator[None]:
    """While it lasts float32 is float32 on NVIDIA's cards too: scores have to be those of other machines."""
    before, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions


def idle_gpus(arguments: Sequence[str]) -> str | None:
    """What to say where a machine has several GPUs and no launcher was used; `arguments` are facegen's."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = 0 if accelerator is None else torch.accelerator.device_count()
    if count < 2 or launched_size() > 1:
        return None
    line = f"torchrun --nproc-per-node {count} -m facegen -- {shlex.join(arguments)}"
    return f"One of {count} GPUs is used. All of them: {line}"


def _own_gpu() -> int:
    number, count = world().local_rank, torch.accelerator.device_count()
    if number >= count:
        raise UsageError(
            f"Process {world().rank} is number {number + 1} on its machine, which has {count} GPUs.",
            hint=f"Start one process a GPU: torchrun --nproc-per-node {count} -m facegen -- ...",
        )
    return number
