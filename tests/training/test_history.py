"""Where a changed run stands: data order, length, shares and learning rate as functions of the step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training_parts import line_recipe

from facegen.config.recipe import OptimizerConfig, Recipe
from facegen.formats.history import RunEvent, flat, with_changes
from facegen.training.data_order import examples_at
from facegen.training.history import RunHistory
from facegen.training.optimizer import RateSchedule

EXAMPLES = 20


def changed(recipe: Recipe, *changes: tuple[int, dict[str, Any], Any]) -> RunHistory:
    """The history of a run of `recipe` that was changed: step, new values, and what follows a decay."""
    data, events = recipe.model_dump(mode="json"), list[RunEvent]()
    for step, values, after_decay in changes:
        now = flat(data)
        pairs = {key: (now[key], value) for key, value in values.items()}
        events.append(RunEvent(step, "", [], pairs, after_decay))
        data = with_changes(data, events[-1:])
    return RunHistory(Recipe.model_validate(data), EXAMPLES, events)


@given(
    st.integers(1, 30),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=4),
)
def test_the_stream_of_examples_goes_on_in_images_whatever_the_batch_size_becomes(
    batch_size: int, rest: int, sizes: list[tuple[int, int]]
) -> None:
    step, changes = 0, []
    for steps, size in sizes:
        step += steps
        changes.append((step, {"training.batch_size": size}, None))
    history = changed(line_recipe(max_steps=step + rest, batch_size=batch_size), *changes)
    stream = torch.cat(
        [
            examples_at(history.position(k) + torch.arange(history.batch_size(k)), EXAMPLES, 0)
            for k in range(step + rest)
        ]
    )
    assert torch.equal(stream, examples_at(torch.arange(len(stream)), EXAMPLES, 0))
    assert history.position(step + rest) == len(stream)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@given(warmup=st.integers(0, 12), fraction=st.floats(0, 1), steps=st.integers(1, 40))
def test_an_unchanged_run_has_the_plain_schedule(
    schedule: str, warmup: int, fraction: float, steps: int
) -> None:
    optimizer = {"lr_schedule": schedule, "warmup_steps": warmup, "decay_fraction": fraction}
    recipe = line_recipe(max_steps=steps, optimizer=optimizer)
    history = RunHistory(recipe, EXAMPLES)
    assert [history.learning_rate(k) for k in range(steps)] == [
        RateSchedule.over(recipe.optimizer, 0, steps).rate(k) for k in range(steps)
    ]
    assert [history.share(k) for k in range(steps)] == [k / steps for k in range(steps)]
    assert [history.position(k) for k in range(steps)] == [8 * k for k in range(steps)]


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 20), st.integers(0, 30))
def test_a_constant_rate_extended_is_that_of_the_longer_run(
    steps: int, more: int, at: int, warmup: int
) -> None:
    recipe = line_recipe(max_steps=steps, optimizer={"warmup_steps": warmup})
    extended = changed(recipe, (min(at, steps), {"training.max_steps": steps + more}, None))
    longer = RunHistory(line_recipe(max_steps=steps + more, optimizer={"warmup_steps": warmup}), EXAMPLES)
    assert extended.num_steps == longer.num_steps
    every = range(steps + more)
    assert [extended.learning_rate(k) for k in every] == [longer.learning_rate(k) for k in every]


def decaying(steps: int, schedule: str = "linear", **optimizer: Any) -> Recipe:
    given = {"lr": 1.0, "lr_schedule": schedule, "warmup_steps": 2, "decay_fraction": 0.5, **optimizer}
    return line_recipe(max_steps=steps, optimizer=given)


def test_a_run_extended_before_its_decay_is_the_longer_run() -> None:
    extended = changed(decaying(20), (10, {"training.max_steps": 40}, None))
    longer = RunHistory(decaying(40), EXAMPLES)
    assert [extended.learning_rate(k) for k in range(40)] == [longer.learning_rate(k) for k in range(40)]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_decay_that_has_begun_goes_on_from_where_it_stands_over_the_steps_left(schedule: str) -> None:
    before = RunHistory(decaying(20, schedule), EXAMPLES)
    extended = changed(decaying(20, schedule), (15, {"training.max_steps": 35}, None))
    assert [extended.learning_rate(k) for k in range(16)] == [before.learning_rate(k) for k in range(16)]
    rates = [extended.learning_rate(k) for k in range(15, 36)]
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert rates[-1] == pytest.approx(0)
    if schedule == "linear":
        assert rates == pytest.approx([0.5 * (1 - k / 20) for k in range(21)])


def test_after_a_decay_the_last_rate_stays_or_a_new_cycle_begins() -> None:
    longer = {"training.max_steps": 40}
    stays = changed(decaying(20), (20, longer, "last-rate"))
    assert [stays.learning_rate(k) for k in range(19, 40)] == pytest.approx([0.1] * 21)
    cycle = changed(decaying(20), (20, longer, "new-cycle"))
    first = [cycle.learning_rate(k) for k in range(20)]
    assert [cycle.learning_rate(k) for k in range(20, 40)] == first
    assert changed(decaying(20)).decay_is_over(20)
    assert not changed(decaying(20)).decay_is_over(19)
    assert not stays.decay_is_over(40)


def test_a_new_rate_counts_from_its_step_on_and_warm_up_that_is_over_stays_over() -> None:
    values = {"optimizer.lr": 0.5, "optimizer.warmup_steps": 30}
    history = changed(decaying(20, "constant"), (6, values, None))
    assert [history.learning_rate(k) for k in (0, 1, 5, 6, 7)] == [0.5, 1.0, 1.0, 0.5, 0.5]


def test_a_constant_run_may_be_cooled_down_at_its_end() -> None:
    values = {"training.max_steps": 30, "optimizer.lr_schedule": "linear", "optimizer.decay_fraction": 1.0}
    history = changed(decaying(20, "constant"), (20, values, None))
    assert [history.learning_rate(k) for k in range(20, 30)] == pytest.approx([1 - k / 10 for k in range(10)])


def test_another_batch_size_changes_the_steps_of_a_run_told_in_epochs() -> None:
    recipe = line_recipe(epochs=4)  # 80 images in batches of 8
    history = changed(recipe, (5, {"training.batch_size": 16}, None))
    assert (RunHistory(recipe, EXAMPLES).num_steps, history.num_steps) == (10, 5 + 3)


def test_shares_of_a_run_never_fall_and_end_with_it() -> None:
    history = changed(
        line_recipe(max_steps=10),
        (5, {"training.max_steps": 20}, None),
        (20, {"training.max_steps": 25}, None),
    )
    shares = [history.share(k) for k in range(25)]
    assert shares == sorted(shares)
    assert (history.share(5), history.share(19) < 1, history.share(20)) == (0.5, True, 1.0)


def test_a_schedule_without_a_change_of_length_is_kept_exactly() -> None:
    config = OptimizerConfig.model_validate({"lr_schedule": "cosine"})
    schedule = RateSchedule.over(config, 0, 30)
    assert schedule.changed(17, config, 30) == schedule
