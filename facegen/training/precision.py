"""Choosing the number format that the hardware is good at, and saying why in one line."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from facegen.errors import UsageError


@dataclass(frozen=True)
class Precision:
    """How forward and backward run; weights, optimizer and EMA stay float32, but for fp64."""

    name: str  # "fp32", "bf16", "fp16", or "fp64", in which all is exact enough to compare runs
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, optimizer and EMA."""
        return torch.float64 if self.name == "fp64" else torch.float32

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of the products in forward and backward."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.name, self.dtype)

    @property
    def uses_scaler(self) -> bool:
        """fp16 gradients underflow without loss scaling."""
        return self.name == "fp16"

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Context for the forward pass."""
        if self.compute_dtype == self.dtype:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.compute_dtype)


def choose_precision(requested: str, device: torch.device) -> Precision:
    """The precision to train in; "auto" picks what the hardware is good at.

    Raises:
        UsageError: fp64 asked for on a device that has none.
    """
    if requested == "fp64" and device.type == "mps":
        raise UsageError("MPS has no float64.", hint="Use --set training.precision=auto, or --device cpu.")
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
    """By what the CPU has, never by a stopwatch: one machine trains in one format, however busy it is."""
    if unit := bf16_unit():
        return Precision("bf16", f"bf16: this CPU has {unit}, which multiplies it much faster than fp32")
    return Precision("fp32", "fp32: this CPU has nothing that would make bf16 faster")


def bf16_unit() -> str | None:
    """What multiplies bf16 faster than fp32 in this CPU, if the system lets this process use it.

    AVX512-bf16 counts on AMD's alone: on Intel's it made training slower, on AMD's 1.8 to 2 times as fast
    (docs/log.md).
    """
    if torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported() and _is_amd():
        return "AMD's AVX512-bf16"
    return None


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return False
