"""Optimizer and learning rate from an `OptimizerConfig`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.optim import Optimizer

from facegen.config.recipe import OptimizerConfig
from facegen.formats.history import AfterDecay
from facegen.training.muon import Muon, hidden_matrices


def build_optimizer(
    module: nn.Module, config: OptimizerConfig, dtype: torch.dtype = torch.float32
) -> Optimizer:
    """The optimizer of a module's trained parameters, in its fused form, the fastest on CPU and CUDA alike.

    `dtype` is what forward and backward multiply in; Muon does so too, but in bf16 for fp16.
    """
    parameters = [weight for weight in module.parameters() if weight.requires_grad]
    if config.kind == "muon":
        matrices = hidden_matrices(module)
        theirs = {id(weight) for weight in matrices}
        return Muon(
            matrices,
            [weight for weight in parameters if id(weight) not in theirs],
            lr=config.lr,
            matrix_lr=config.matrix_lr,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            dtype=torch.bfloat16 if dtype == torch.float16 else dtype,
        )
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[config.kind](
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a function of the step (from 0): warm-up, plateau, decay.

    Warm-up is linear from step `begin` to `warm_until`. From `decay_start` on, the share of the decay that is
    done goes from `done_before` to 1 at step `end`; where `end` is None it stays at `done_before`.
    """

    config: OptimizerConfig
    begin: int
    warm_until: int
    decay_start: int
    end: int | None
    done_before: float = 0.0

    @classmethod
    def over(cls, config: OptimizerConfig, begin: int, end: int) -> RateSchedule:
        """The schedule of a run, or of a cycle of one, that takes the steps `begin` .. `end` - 1.

        The decay takes the last `decay_fraction` of them, but never begins before warm-up has ended, and
        reaches `lr * final_lr_ratio` at the end.
        """
        warm_until = begin + config.warmup_steps
        decay_start = max(warm_until, begin + round((end - begin) * (1 - config.decay_fraction)))
        return cls(config, begin, warm_until, decay_start, end)

    def rate(self, step: int) -> float:
        """Learning rate of step `step`."""
        config = self.config
        if step < self.warm_until:
            return config.lr * (step - self.begin + 1) / (self.warm_until - self.begin)
        if config.lr_schedule == "constant" or step < self.decay_start:
            return config.lr
        done = self.done(step)
        falling = 1 - done if config.lr_schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return config.lr * (config.final_lr_ratio + (1 - config.final_lr_ratio) * falling)

    def done(self, step: int) -> float:
        """Share of the decay that lies behind step `step`, in [0, 1]."""
        if self.end is None or step <= self.decay_start:
            return self.done_before
        now = (step - self.decay_start) / max(1, self.end - self.decay_start)
        return min(1.0, self.done_before + (1 - self.done_before) * now)

    @property
    def is_held(self) -> bool:
        """Whether the rate stays where a decay that had ended left it."""
        return self.config.lr_schedule != "constant" and self.end is None

    def is_over(self, step: int) -> bool:
        """Whether a decay has ended before step `step`, and nothing says how the rate goes on."""
        return self.config.lr_schedule != "constant" and self.end is not None and step >= self.end

    def changed(
        self, step: int, config: OptimizerConfig, end: int, after_decay: AfterDecay | None = None
    ) -> RateSchedule:
        """The schedule from `step` on, with other options or another end of the run.

        Warm-up that is over stays over. A plateau lasts as long as that of a run of the new length. A decay
        that has begun goes on from where it stands, over the steps that are left. After one that has ended, a
        new cycle warms up and decays once more, or the rate of the last step made stays.
        """
        if after_decay == "new-cycle":
            return RateSchedule.over(config, step, end)
        if after_decay == "last-rate":
            return replace(self, config=config, decay_start=step, done_before=self.done(step - 1), end=None)
        if self.end is None:
            return replace(self, config=config)
        planned = RateSchedule.over(config, self.begin, end)
        warm_until = planned.warm_until if step < self.warm_until else self.warm_until
        begun = self.config.lr_schedule != "constant" and step > self.decay_start
        if not begun:
            start = max(step, warm_until, planned.decay_start)
            return replace(planned, warm_until=warm_until, decay_start=start)
        if end == self.end:
            return replace(self, config=config)
        return replace(self, config=config, decay_start=step, done_before=self.done(step), end=end)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate, or its own multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_ratio", 1.0)
