"""The time is shared fairly, and too little of it is refused with what would fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.training_parts import denoising_recipe

from facegen.errors import UsageError
from facegen.sweeping import plan
from facegen.sweeping.record import Timing
from facegen.sweeping.space import Candidate

FAST = Timing(start_seconds=4.0, step_seconds=0.1, check_seconds=0.5, num_examples=40)


def candidate(**settings: float) -> Candidate:
    recipe = denoising_recipe(Path("latents"), max_steps=400)
    warm = recipe.optimizer.model_copy(update={"warmup_steps": 50})
    return Candidate("one", dict(settings), recipe.model_copy(update={"optimizer": warm}))


def test_a_run_is_as_long_as_its_time_buys_and_no_longer_than_its_recipe() -> None:
    one = candidate().recipe
    assert plan.steps_for(one, FAST, 40.0, 4) == round((plan.FILLED * 40 - 4 - 4 * 0.5) / 0.1)
    assert plan.steps_for(one, FAST, 4000.0, 4) == 400
    by_epochs = denoising_recipe(Path("latents"), max_steps=None, epochs=3)
    assert plan.steps_for(by_epochs, FAST, 4000.0, 4) == 8  # 3 x 40 images in batches of 16


def test_a_run_that_is_fitted_warms_up_for_a_tenth_and_is_checked_as_often_as_planned() -> None:
    found = plan.fitted(candidate(), 100, 4)
    training = found.training
    assert (training.max_steps, training.validate_every_steps, training.preview_every_steps) == (
        100,
        25,
        None,
    )
    assert found.optimizer.warmup_steps == 10
    tried = {"optimizer.warmup_steps": 50}
    assert plan.fitted(candidate(**tried), 100, 4).optimizer.warmup_steps == 50


def test_too_many_runs_are_refused_with_how_many_fit_and_the_time_that_all_take() -> None:
    left = 120.0
    with pytest.raises(UsageError, match=r"9 runs do not fit into the 2.0 minutes .* 8 fit") as refused:
        plan.check_time(FAST, left, 9, 1)
    minutes = int(str(refused.value).partition("--minutes ")[2].partition(",")[0])
    assert plan.check_time(FAST, 60.0 * minutes, 9, 1) > 0
    assert plan.check_time(FAST, left, 8, 1) > 0
    with pytest.raises(UsageError, match="not even one fits"):
        plan.check_time(FAST, 10.0, 2, 1)


def test_runs_side_by_side_get_the_time_of_those_they_stand_beside() -> None:
    alone, beside = (plan.check_time(FAST, 300.0, 4, at_once) for at_once in (1, 2))
    assert beside == 2 * alone


def test_runs_alike_but_for_their_optimizer_are_as_fast() -> None:
    recipe = denoising_recipe(Path("latents"))
    faster = recipe.optimizer.model_copy(update={"lr": 0.1})
    larger = recipe.training.model_copy(update={"batch_size": 8})
    assert plan.alike(recipe.model_copy(update={"optimizer": faster})) == plan.alike(recipe)
    assert plan.alike(recipe.model_copy(update={"training": larger})) != plan.alike(recipe)
