"""How the weights of convolutions lie in memory: on NVIDIA's cards with channels last."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

Network = TypeVar("Network", bound=nn.Module)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def moved(module: Network, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """`module` on `device`; its convolutions as the fast kernels of CUDA read them, who otherwise copy first.

    Inputs follow the weights by themselves. A CPU keeps the usual layout: in another one it adds up in
    another order, and gains little.
    """
    module = module.to(device, dtype)
    if device.type == "cuda" and any(isinstance(part, CONVOLUTIONS) for part in module.modules()):
        anywhere: Any = module  # the stub of `to` knows no layout alone
        return anywhere.to(memory_format=torch.channels_last)
    return module


def lay_out_state(optimizer: Optimizer) -> None:
    """Give moments that were loaded the layout of their parameters: fused optimizers read them in step."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
