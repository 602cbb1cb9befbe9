"""How the weights of convolutions lie in memory: on NVIDIA's cards with channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def lay_out_convolutions(module: nn.Module) -> None:
    """Have the convolutions of a module on CUDA as its fast kernels read them, which otherwise copy first.

    Inputs follow the weights by themselves. A CPU keeps the usual layout: in another one it adds up in
    another order, and gains little.
    """
    parts = [part for part in module.modules() if isinstance(part, CONVOLUTIONS)]
    if any(part.weight.is_cuda for part in parts):
        anywhere: Any = module  # the stub of `to` knows no layout alone
        anywhere.to(memory_format=torch.channels_last)


def lay_out_state(optimizer: Optimizer) -> None:
    """Give moments that were loaded the layout of their parameters: fused optimizers read them in step."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
