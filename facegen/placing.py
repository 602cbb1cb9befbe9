"""Getting tensors to where they are calculated with, without waiting for the device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`, from pinned memory where the copy may then go on by itself."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """The numbers (n,) with the type and on the device of `like`, copied there once. Not to be written to."""
    return _constant(values, like.dtype, like.device)


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it may be kept for a backward pass later
        return torch.tensor(values, dtype=dtype, device=device)
