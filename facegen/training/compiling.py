"""Whether a network is called as it is, compiled, or compiled with CUDA graphs: found out by trying.

Compiling takes minutes, gains most where a step is many small kernels or passes over memory, and fails on
what a compiler does not know, or where there is none. So `training.compile=auto` times forward and backward
in each way on the run's own batch, and takes the fastest that gives the same loss and gradient. Every
checkpoint keeps it, so that a resumed run adds up in the same order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, nn

from facegen.processes import World
from facegen.training.logs import duration_text

Way = Literal["eager", "compiled", "graphs"]
_MODES = {"compiled": None, "graphs": "reduce-overhead"}  # of torch.compile

WAYS: dict[str, tuple[Way, ...]] = {"cuda": ("compiled", "graphs"), "cpu": ("compiled",)}
FEWEST_STEPS = {"cuda": 1, "cpu": 500}  # left: with fewer, not even the time that they take is looked at
WARMUPS, TIMED = 3, 5
# of training that is left: compiling takes a minute or two, on a processor's own core
WORTH_TRYING_SECONDS = {"cuda": 600.0, "cpu": 1200.0}
CLEARLY_FASTER = 0.95
SAME = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative, of the loss and the gradient's norm
SAME_IN_HALF_PRECISION = 2e-2

Trial = Callable[[Way], Tensor]
"""Loss and gradient norm (2,), on the CPU, of a batch that went forward and backward and left nothing."""


@dataclass(frozen=True)
class Compilation:
    way: Way
    reason: str
    tried: bool = True


def call_as(way: Way, module: nn.Module) -> None:
    """Have the parts of `module` called so, in place: parameter names and checkpoints stay as they are."""
    for part in module.values() if isinstance(module, nn.ModuleDict) else [module]:
        part._compiled_call_impl = None  # as before `nn.Module.compile`, which has no way back
        if way != "eager":
            part.compile(mode=_MODES[way])


def worth_trying(kind: str, steps_left: int, seconds_left: float = math.inf) -> bool:
    """Whether ways are tried on a `kind` of device for as much training, of which the time may be unknown."""
    return kind in WAYS and steps_left >= FEWEST_STEPS[kind] and seconds_left >= WORTH_TRYING_SECONDS[kind]


def machine_of(device: torch.device) -> str:
    """What a way that was found is good for."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} with {torch.backends.cpu.get_cpu_capability()}"


def fastest_way(
    module: nn.Module, trial: Trial, steps_left: int, dtype: torch.dtype, world: World, kind: str
) -> Compilation:
    """The way of calling the parts of `module` in which forward and backward in `dtype` take the shortest.

    `kind` of device is one of `WAYS`. Ways that fail, or give another loss or gradient, are left out. All
    processes find the same one.
    """
    same = SAME.get(dtype, SAME_IN_HALF_PRECISION)
    call_as("eager", module)
    with _undisturbed(module):
        expected, eager_seconds = trial("eager"), _seconds(trial, "eager", world)
        left = eager_seconds * steps_left
        if not worth_trying(kind, steps_left, left):
            reason = f"{duration_text(left)} for all steps are too few to compile for"
            return Compilation("eager", reason, tried=False)
        seconds: dict[Way, float] = {"eager": eager_seconds}
        told = [f"{eager_seconds * 1000:.1f} ms as it is"]
        for way in WAYS[kind]:
            call_as(way, module)
            refused = next(filter(None, world.gather(_refusal(trial, way, expected, same))), None)
            if refused is None:
                seconds[way] = _seconds(trial, way, world)
            told.append(f"{way} {refused}" if refused else f"{seconds[way] * 1000:.1f} ms {way}")
    torch.compiler.reset()  # what was recorded of ways that lost takes memory
    best = min(seconds, key=lambda way: seconds[way])
    if seconds[best] > CLEARLY_FASTER * eager_seconds:
        best = "eager"
    return Compilation(best, f"forward and backward take {', '.join(told)}")


def _refusal(trial: Trial, way: Way, expected: Tensor, same: float) -> str | None:
    """Why a way is not to be used: it fails, or gives something else."""
    try:
        found = [trial(way) for _ in range(3)][-1]  # of graphs the second is recorded, the third replayed
    except Exception as error:  # whatever a compiler and its kernels may raise
        cause = getattr(error, "inner_exception", error)  # of the compiler's own errors
        return f"fails ({(str(cause).splitlines() or [type(cause).__name__])[0]})"
    if not torch.allclose(found, expected, rtol=same, atol=0):
        return f"differs (loss and gradient {found.tolist()} instead of {expected.tolist()})"
    return None


def _seconds(trial: Trial, way: Way, world: World) -> float:
    """Median of a trial, of the slowest process."""
    times = list[float]()
    for _ in range(WARMUPS + TIMED):
        started = time.perf_counter()
        trial(way)
        times.append(time.perf_counter() - started)
    return max(world.gather(median(times[WARMUPS:])))


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Give the module back with the statistics that it had."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        kept: Any = module.buffers()
        for buffer, value in zip(kept, before, strict=True):
            buffer.copy_(value)
