"""Getting examples to where they are trained on."""

from __future__ import annotations

import torch
from torch import Tensor


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`, from pinned memory where the copy may then go on by itself."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
