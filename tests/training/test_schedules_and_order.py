"""Pure functions of the step: data order, learning rate, EMA warm-up."""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training_parts import line_recipe

from facegen.config.recipe import OptimizerConfig
from facegen.training.data_order import epoch_order, examples_at, seed_for
from facegen.training.ema import Ema, ema_decay
from facegen.training.history import RunHistory
from facegen.training.optimizer import RateSchedule, build_optimizer, set_learning_rate


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 5))
def test_every_epoch_shows_every_example_once(batch_size: int, num_examples: int, seed: int) -> None:
    steps = -(-3 * num_examples // batch_size)
    places = torch.arange(steps * batch_size).split(batch_size)
    stream = torch.cat([examples_at(part, num_examples, seed) for part in places])
    for epoch in range(3):
        seen = stream[epoch * num_examples : (epoch + 1) * num_examples]
        assert seen.sort().values.tolist() == list(range(num_examples))


def test_epochs_and_seeds_have_their_own_orders() -> None:
    assert not torch.equal(epoch_order(100, 0, 0), epoch_order(100, 0, 1))
    assert not torch.equal(epoch_order(100, 0, 0), epoch_order(100, 1, 0))
    assert torch.equal(epoch_order(100, 0, 1), epoch_order(100, 0, 1))
    assert torch.equal(examples_at(torch.arange(100, 200), 100, seed=0), epoch_order(100, 0, 1))


def test_purposes_seeds_and_numbers_have_seeds_of_their_own() -> None:
    seeds = {seed_for(purpose, seed, step) for purpose in "ab" for seed in range(3) for step in range(50)}
    assert len(seeds) == 300


def test_epochs_are_counted_up_to_whole_steps() -> None:
    for epochs, batch_size, examples, steps in ((3, 16, 40, 8), (1, 64, 10, 1)):
        recipe = line_recipe(epochs=epochs, batch_size=batch_size)
        assert RunHistory(recipe, examples).num_steps == steps


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rate_warms_up_holds_and_decays(schedule: str) -> None:
    config = OptimizerConfig.model_validate(
        {"lr": 1.0, "lr_schedule": schedule, "warmup_steps": 10, "decay_fraction": 0.4, "final_lr_ratio": 0.1}
    )
    schedule_of_100 = RateSchedule.over(config, 0, 100)
    rates = [schedule_of_100.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:60] == [1.0] * 50
    if schedule == "constant":
        assert rates[60:] == [1.0] * 40
    else:
        middle = 0.55
        assert rates[80] == pytest.approx(middle)
        assert schedule_of_100.rate(100) == pytest.approx(0.1)
        assert all(a >= b for a, b in pairwise(rates[60:]))
    if schedule == "cosine":
        assert rates[70] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))


def test_decay_never_begins_before_warm_up_has_ended() -> None:
    config = OptimizerConfig.model_validate({"lr": 1.0, "lr_schedule": "linear", "warmup_steps": 8})
    rates = [RateSchedule.over(config, 0, 10).rate(step) for step in range(10)]
    assert rates == pytest.approx([*[(step + 1) / 8 for step in range(8)], 1.0, 0.5])


def test_optimizers_are_fused_and_take_the_rate() -> None:
    module = torch.nn.Linear(2, 2)
    for kind, expected in (("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)):
        optimizer = build_optimizer(module, OptimizerConfig.model_validate({"kind": kind}))
        set_learning_rate(optimizer, 0.5)
        assert type(optimizer) is expected
        assert optimizer.param_groups[0]["fused"]
        assert optimizer.param_groups[0]["lr"] == 0.5


def test_ema_follows_its_definition_with_warm_up() -> None:
    module = torch.nn.BatchNorm1d(3)
    module.bias.requires_grad_(False)
    ema = Ema(module, deepcopy(module), decay=0.5)
    expected = module.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            module.weight.add_(0.1 * (step + 1))
        ema.update(step, torch.zeros(()))
        decay = min(0.5, (1 + step) / (10 + step))
        assert ema_decay(step, 0.5) == decay
        expected = decay * expected + (1 - decay) * module.weight.detach()
    average: torch.nn.BatchNorm1d = ema.module  # pyright: ignore[reportAssignmentType]
    assert torch.allclose(average.weight, expected, atol=1e-6)
    module(torch.randn(8, 3))
    assert module.running_mean is not None
    ema.copy_buffers()
    assert torch.equal(ema.module.state_dict()["running_mean"], module.running_mean)
    ema.update(20, skipped=torch.ones(()))
    assert torch.allclose(average.weight, expected, atol=1e-6)
    assert not average.training


def test_ema_warms_up_by_a_power_where_one_is_given() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    ema, expected = Ema(module, deepcopy(module), decay=0.6, warmup_power=0.75), 0.0
    for step in range(8):
        torch.nn.init.constant_(module.weight, step)
        ema.update(step, torch.zeros(()))
        decay = min(0.6, 1 - (1 + step) ** -0.75)  # the first step takes the weights as they are
        expected = decay * expected + (1 - decay) * step
        assert ema.module.state_dict()["weight"].item() == pytest.approx(expected)
