"""Choosing the number format that the hardware is good at, and saying why in one line."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch

from facegen.errors import UsageError


@dataclass(frozen=True)
class Precision:
    """How forward and backward run; weights, optimizer and EMA stay float32."""

    name: str  # "fp32", "bf16" or "fp16"
    reason: str

    @property
    def uses_scaler(self) -> bool:
        """fp16 gradients underflow without loss scaling."""
        return self.name == "fp16"

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Context for the forward pass."""
        if self.name == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)


def choose_precision(requested: str, device: torch.device) -> Precision:
    """The precision to train in; "auto" picks what the hardware is good at.

    Raises:
        UsageError: fp16 asked for on a device that is not CUDA.
    """
    if requested == "fp16" and device.type != "cuda":
        raise UsageError(
            "fp16 training needs a CUDA device.", hint="Use --set training.precision=auto, or fp32."
        )
    if requested != "auto":
        return Precision(requested, f"{requested}, as the recipe asks")
    if device.type == "cuda":
        return _for_cuda(device)
    if device.type == "cpu":
        return _for_cpu()
    return Precision("fp32", f"fp32: mixed precision is not used on {device.type}")


def _for_cuda(device: torch.device) -> Precision:
    major, minor = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    if major >= 8:
        return Precision("bf16", f"bf16: {name} (compute capability {major}.{minor}) has bf16 tensor cores")
    if major >= 7:
        return Precision("fp16", f"fp16 with loss scaling: {name} ({major}.{minor}) has no bf16 tensor cores")
    return Precision("fp32", f"fp32: {name} ({major}.{minor}) has no tensor cores")


def _for_cpu() -> Precision:
    if not cpu_claims_bf16():
        return Precision("fp32", "fp32: this CPU has neither AVX512-bf16 nor AMX, bf16 would be slower")
    speedup = measured_bf16_speedup()
    if speedup < 1.2:
        return Precision("fp32", f"fp32: bf16 runs at {speedup:.2f}x its speed on this CPU")
    return Precision("bf16", f"bf16: this CPU multiplies it {speedup:.1f}x faster than fp32")


def cpu_claims_bf16() -> bool:
    """Whether the CPU lists instructions for bf16 dot products."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@lru_cache(maxsize=1)
def measured_bf16_speedup(size: int = 512, rounds: int = 5) -> float:
    """Time of an fp32 matrix product over that of a bf16 one: flags can be masked or emulated."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(size, size, dtype=dtype)
        torch.mm(a, a)
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            torch.mm(a, a)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.float32] / seconds[torch.bfloat16]
