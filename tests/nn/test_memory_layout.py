"""Weights with channels last, as on CUDA: training, saving and resuming go on as with the usual layout."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from facegen.nn.memory_layout import lay_out_convolutions, lay_out_state


def trained(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    torch.manual_seed(0)
    for _ in range(steps):
        module(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_moments_follow_the_layout_of_their_parameters() -> None:
    torch.manual_seed(1)
    usual = nn.Conv2d(3, 4, 3)
    last: Any = nn.Conv2d(3, 4, 3)  # the stub of `to` knows no layout alone
    last.load_state_dict(usual.state_dict())
    last.to(memory_format=torch.channels_last)
    optimizers = [torch.optim.AdamW(one.parameters(), lr=0.1, fused=True) for one in (usual, last)]
    trained(usual, optimizers[0], 2)
    last.load_state_dict(usual.state_dict())
    optimizers[1].load_state_dict(deepcopy(optimizers[0].state_dict()))
    lay_out_state(optimizers[1])
    state = optimizers[1].state[last.weight]
    assert state["exp_avg"].stride() == last.weight.stride() != usual.weight.stride()
    for module, optimizer in zip((usual, last), optimizers, strict=True):
        trained(module, optimizer, 3)
    torch.testing.assert_close(last.weight, usual.weight)


def test_a_cpu_keeps_the_usual_layout() -> None:
    module = nn.Conv2d(3, 4, 3)
    lay_out_convolutions(module)
    assert module.weight.is_contiguous()
