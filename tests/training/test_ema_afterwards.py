"""Any width after training: against averages tracked beside it, as a checkpoint, validated, refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.config.recipe import parse_recipe
from facegen.errors import FacegenError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.models.loading import load
from facegen.sampling.weights_search import checkpoint_of
from facegen.training.ema_afterwards import average_afterwards, width_curve
from facegen.training.power_ema import PowerEmas
from facegen.training.train import train

TRACKED = [0.035, 0.05, 0.075, 0.1, 0.15]
EARLIER = 125


@dataclass(frozen=True)
class Trained:
    """A run that kept widths 0.05 and 0.1, and averages tracked beside it by step and width."""

    run: Path
    tracked: dict[int, dict[float, dict[str, Tensor]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("averaged")
    latents = write_latents(folder / "latents", {"train": 200, "validation": 32})
    recipe = denoising_recipe(latents, max_steps=200, validate_every_steps=100, checkpoint_every_steps=100)
    told = recipe.model_dump(mode="json")
    told["ema"] = {"decay": 0.95, "widths": [0.05, 0.1], "snapshots": 32}
    told["optimizer"] |= {"lr": 1e-2, "lr_schedule": "constant"}
    tracked: dict[int, dict[float, dict[str, Tensor]]] = {}

    def with_more_beside(config: Any, module: Any, run: RunDirectory, num_steps: int) -> PowerEmas:
        kept = PowerEmas(config, module, run, num_steps)
        beside = PowerEmas(config.model_copy(update={"widths": TRACKED}), module, run, num_steps)
        plain = kept.update

        def update(skipped: Tensor) -> None:
            plain(skipped)
            beside.update(skipped)
            if beside.updates in (EARLIER, num_steps):
                averages = beside.state_dict()["averages"]
                copy = {w: {n: t.clone() for n, t in one.items()} for w, one in averages.items()}
                tracked[beside.updates] = copy

        kept.update = update  # type: ignore[method-assign]
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facegen.training.trainer.PowerEmas", with_more_beside)
        train(parse_recipe(told), folder / "run", device="cpu")
    return Trained(folder / "run", tracked)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(trained.run, tmp_path / "run"))


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Of all weights together, relative to those of `b`."""
    one, other = (torch.cat([tensors[name].double().flatten() for name in b]) for tensors in (a, b))
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("step", [None, EARLIER])
@pytest.mark.parametrize("width", TRACKED)
def test_a_width_made_afterwards_equals_the_one_tracked_beside_training(
    trained: Trained, tmp_path: Path, width: float, step: int | None
) -> None:
    summary = average_afterwards(trained.run, width, step=step, out=tmp_path / "average")
    made, tracked = load_checkpoint(tmp_path / "average").weights("ema"), trained.tracked[step or 200]
    assert made.keys() == load_checkpoint(trained.run).weights("model").keys()
    assert distance(made, tracked[width]) < 1e-3
    others = [distance(made, tracked[other]) for other in TRACKED if other != width]
    assert min(others) > 5 * distance(made, tracked[width])  # these widths do differ
    assert (summary.step, summary.width) == (step or 200, width)


def test_the_average_opens_as_a_checkpoint_does(copied: Path) -> None:
    summary = average_afterwards(copied, 0.12)
    assert summary.checkpoint == str(copied / "ema" / "width-0.12")
    again = average_afterwards(copied, 0.12)  # replaces the first
    assert again == summary
    generator = load(summary.checkpoint, "cpu")
    assert generator.step == 200
    assert generator.data.path == load(copied, "cpu").data.path
    assert generator.sample(count=2).images.shape == (2, 3, 8, 8)
    info = load_checkpoint(Path(summary.checkpoint)).info
    assert (info.ema_width, info.images_seen, info.metrics) == (0.12, 3200, {})
    with pytest.raises(UsageError, match="no weights as trained"):
        load(summary.checkpoint, "cpu", "model")
    made_with: Any = SimpleNamespace(model_sha256=generator.weights_sha256, weights="ema")
    assert checkpoint_of(copied, made_with) == Path(summary.checkpoint)


def test_the_curve_validates_as_training_does(trained: Trained) -> None:
    curve = width_curve(trained.run, device="cpu")
    widths = [score.width for score in curve.scores]
    assert widths == sorted(widths)
    assert [score.width for score in curve.scores if score.kept] == [0.05, 0.1]
    assert curve.best.loss == min(score.loss for score in curve.scores)
    logged = [row["loss"] for row in RunDirectory(trained.run).metrics() if row["group"] == "validation"]
    assert curve.running_average == pytest.approx(logged[-1], rel=1e-6)
    assert curve.as_trained != curve.running_average
    (alone,) = width_curve(trained.run, [curve.best.width], device="cpu").scores
    assert alone == curve.best


def test_the_curve_of_an_earlier_step_has_no_checkpoint_beside_it(trained: Trained) -> None:
    curve = width_curve(trained.run, [0.1], step=EARLIER, device="cpu")
    assert (curve.step, curve.as_trained, curve.running_average) == (EARLIER, None, None)


def test_the_data_may_have_moved_but_not_changed(trained: Trained, tmp_path: Path) -> None:
    moved = write_latents(tmp_path / "moved", {"train": 200, "validation": 32})
    plain = width_curve(trained.run, [0.1], device="cpu")
    assert width_curve(trained.run, [0.1], data=moved, device="cpu") == plain
    other = write_latents(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="not those this run was started with"):
        width_curve(trained.run, [0.1], data=other, device="cpu")


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        ("--width 0.5", 2, "at most 0.289"),
        ("--width 0", 2, "above 0"),
        ("--width nan", 2, "above 0"),
        ("--width 0.001", 2, "These can be: 0.02, 0.03,"),
        ("--width 0.1 --step 126", 2, "119, 125, 132, 138"),
        ("--width 0.1 --out run", 2, "in the way"),
        ("--width 0.1 --out run/recipe.yaml", 2, "in the way"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(
    copied: Path, monkeypatch: pytest.MonkeyPatch, words: str, exit_code: int, told: str
) -> None:
    monkeypatch.chdir(copied.parent)
    result = CliRunner().invoke(app, ["ema", "run", *words.split()])
    assert result.exit_code == exit_code, result.stderr
    assert told in result.stderr
    assert not list(copied.glob("ema/width-*"))


def test_damaged_snapshots_are_named_and_an_earlier_moment_still_works(copied: Path) -> None:
    (copied / "ema" / "step-00000150.safetensors").write_bytes(b"lost")
    result = CliRunner().invoke(app, ["ema", str(copied), "--width", "0.1"])
    assert (result.exit_code, "step-00000150.safetensors' is corrupt" in result.stderr) == (5, True)
    assert not list(copied.glob("ema/width-*"))
    result = CliRunner().invoke(app, ["ema", str(copied), "--width", "0.1", "--step", str(EARLIER), "--json"])
    assert json.loads(result.stdout)["checkpoint"] == str(copied / "ema" / "width-0.1-step-00000125")


def test_runs_without_snapshots_are_refused_with_the_key_that_makes_them(tmp_path: Path) -> None:
    train(denoising_recipe(write_latents(tmp_path / "latents"), max_steps=1), tmp_path / "run", device="cpu")
    with pytest.raises(UsageError, match=r"ema\.widths=\[0\.05,0\.1\]"):
        average_afterwards(tmp_path / "run", 0.1)
    with pytest.raises(UsageError, match="is not a run"):
        average_afterwards(tmp_path / "latents", 0.1)


def test_a_run_that_has_made_no_snapshot_yet_says_so(copied: Path) -> None:
    shutil.rmtree(copied / "ema")
    with pytest.raises(FacegenError, match="no snapshot of averaged weights yet") as refused:
        average_afterwards(copied, 0.1)
    assert refused.value.exit_code == 4
