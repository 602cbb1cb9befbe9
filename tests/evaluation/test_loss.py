"""The held-out loss, image by image: the one of training, and two runs that compare by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.training_parts import denoising_recipe, write_latents

from facegen.config.composition import merge
from facegen.config.recipe import parse_recipe
from facegen.errors import UsageError
from facegen.evaluation.compare import compare
from facegen.evaluation.loss import evaluate_loss
from facegen.formats.checkpoint import load_checkpoint
from facegen.training.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs alike but for the learning rate, one whose loss measures something else, and other data."""
    place = tmp_path_factory.mktemp("runs")
    recipe = denoising_recipe(write_latents(place / "latents"), validate_every_steps=5)
    changes = {
        "slow": {},
        "fast": {"optimizer": {"lr": 1e-2}},
        "eps": {"diffusion": {"parameterisation": "eps"}},
        "other": {"data": {"path": str(write_latents(place / "others", seed=1))}},
    }
    for name, change in changes.items():
        train(parse_recipe(merge(recipe.model_dump(mode="json"), change)), place / name)
    return place


def test_it_is_the_loss_that_training_told_with_an_interval(runs: Path) -> None:
    report = evaluate_loss(runs / "slow")
    row, told = report.scores["loss"], load_checkpoint(runs / "slow").info
    assert row.value == pytest.approx(told.metrics["loss"], rel=1e-6)
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high
    assert (report.num_samples, report.settings["checkpoint_step"]) == (12, told.step)


def test_two_runs_are_compared_on_the_same_images_and_noise(runs: Path) -> None:
    for name in ("slow", "fast"):
        evaluate_loss(runs / name)
    (found,) = compare(runs / "slow", runs / "fast").scores
    assert found.verdict == "B better"
    assert found.shared == ("images",)
    assert found.low is not None
    assert found.high is not None
    assert found.a_interval is not None
    assert found.high - found.low < found.a_interval[1] - found.a_interval[0]


@pytest.mark.parametrize(("name", "named"), [("eps", "path of the noise"), ("other", "data set")])
def test_losses_that_measure_different_things_are_refused(runs: Path, name: str, named: str) -> None:
    for each in ("slow", name):
        evaluate_loss(runs / each)
    with pytest.raises(UsageError, match=named):
        compare(runs / "slow", runs / name)


def test_other_data_than_the_runs_are_refused(runs: Path) -> None:
    from facegen.evaluation.options import LossOptions

    with pytest.raises(UsageError, match="are not those this run was started with"):
        evaluate_loss(runs / "slow", LossOptions(data=runs / "others"))
