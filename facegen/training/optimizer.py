"""Optimizer and learning rate from an `OptimizerConfig`."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from facegen.config.recipe import OptimizerConfig


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Optimizer:
    """AdamW or Adam in their fused form, which is the fastest one on CPU and on CUDA alike."""
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[config.kind](
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate(step: int, num_steps: int, config: OptimizerConfig) -> float:
    """Learning rate of step `step` (from 0) in a run of `num_steps`: warm-up, plateau, decay.

    Warm-up is linear and ends at `warmup_steps`; the decay takes the last `decay_fraction` of the run, but
    never begins before warm-up has ended, and reaches `lr * final_lr_ratio` at the end.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.lr_schedule == "constant":
        return config.lr
    decay_start = max(config.warmup_steps, round(num_steps * (1 - config.decay_fraction)))
    if step < decay_start:
        return config.lr
    done = min(1.0, (step - decay_start) / max(1, num_steps - decay_start))
    falling = 1 - done if config.lr_schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * (config.final_lr_ratio + (1 - config.final_lr_ratio) * falling)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
