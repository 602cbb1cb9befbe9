"""Which device a command runs on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import torch

from facegen.errors import UsageError
from facegen.processes import launched_size, world


def resolve_device(name: str) -> torch.device:
    """The device meant by "auto", "cpu", "cuda", "cuda:1" or "mps"; auto takes the fastest there is.

    Of several processes on a machine each takes a GPU of its own.

    Raises:
        UsageError: no such device on this machine, or fewer GPUs than processes.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    if name == "cuda" and world().is_many:
        name = f"cuda:{_own_gpu()}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"Unknown device '{name}'.", hint="Allowed: auto, cpu, cuda, cuda:1, mps") from error
    present = {
        "cpu": device.index in (None, 0),
        "cuda": cuda and (device.index or 0) < torch.cuda.device_count(),
        "mps": mps,
    }
    if not present.get(device.type, False):
        raise UsageError(f"This machine has no device '{name}'.", hint="Use --device auto")
    return device


def idle_gpus(arguments: Sequence[str]) -> str | None:
    """What to say where a machine has several GPUs and no launcher was used; `arguments` are facegen's."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < 2 or launched_size() > 1:
        return None
    line = f"torchrun --nproc-per-node {count} -m facegen -- {shlex.join(arguments)}"
    return f"One of {count} GPUs is used. All of them: {line}"


def _own_gpu() -> int:
    number, count = world().local_rank, torch.cuda.device_count()
    if number >= count:
        raise UsageError(
            f"Process {world().rank} is number {number + 1} on its machine, which has {count} GPUs.",
            hint=f"Start one process a GPU: torchrun --nproc-per-node {count} -m facegen -- ...",
        )
    return number
