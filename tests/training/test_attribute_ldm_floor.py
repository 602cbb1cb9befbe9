"""The trivial-predictor floor on the attribute-ldm preset: a trained run passes, broken ones are called so.

A published validation loss of this system, 1.0023, is what predicting zero scores on unit noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import write_latents
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from facegen.cli.app import app
from facegen.config.composition import compose
from facegen.formats.run import RunDirectory
from facegen.training.wiring import wire_task
from facegen.types import Conditioning
from facegen.wording import number_text

SMALL = [
    "denoiser.base_channels=16",
    "denoiser.num_heads=2",
    "denoiser.time_dim=32",
    "conditioner.dim=16",
    "optimizer.lr=3e-3",
    "ema.decay=0.95",
    "task.validation_examples=24",
    "training.max_steps=60",
    "training.batch_size=32",
    "training.log_every_steps=20",
    "training.validate_every_steps=60",
    "training.preview_every_steps=null",
    "training.precision=fp32",
]


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of a fifth around a brightness that an attribute tells."""
    return write_latents(tmp_path_factory.mktemp("latents"), {"train": 64, "validation": 24})


def train(latents: Path, run: Path, *overrides: str) -> Result:
    words = ["train", "--preset", "attribute-ldm", "--data", str(latents), "--run", str(run)]
    for override in (*SMALL, *overrides):
        words += ["--set", override]
    result = CliRunner().invoke(app, [*words, "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.stderr
    return result


def validation(run: Path) -> dict[str, Any]:
    return [record for record in RunDirectory(run).metrics() if record["group"] == "validation"][-1]


def test_a_trained_run_beats_the_floor_and_nobody_is_warned(latents: Path, tmp_path: Path) -> None:
    result = train(latents, tmp_path / "run")
    told = validation(tmp_path / "run")
    assert told["better_than_trivial"] is True
    assert told["loss"] < 0.9 * told["trivial_loss"] < told["zero_loss"]
    assert "below the trivial floor" in told["verdict"]
    assert "no better than" not in result.stderr
    assert json.loads(result.stdout)["validation"]["better_than_trivial"] is True


def test_a_run_that_does_not_learn_is_called_no_better_than_predicting_zero(latents, tmp_path: Path) -> None:
    result = train(latents, tmp_path / "run", "optimizer.lr=1e-12", "training.max_steps=4")
    told = validation(tmp_path / "run")
    assert told["better_than_trivial"] is False
    assert told["loss"] == pytest.approx(told["zero_loss"], rel=1e-4)
    assert told["verdict"].endswith(f"no better than predicting zero ({number_text(told['zero_loss'])})")
    assert "no better than predicting zero" in result.stderr
    assert "no better than predicting zero" in json.loads(result.stdout)["validation"]["verdict"]


class NextToNothing(nn.Module):
    """Answers with faint noise of its own, as a network does that has learned to stay out of the way."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return 0.0023**0.5 * torch.randn(x_t.shape, generator=self.generator)


def test_the_published_loss_of_1_0023_is_recognised(latents: Path) -> None:
    task = wire_task(compose("attribute-ldm", overrides=[*SMALL, f"data.path={latents}"])).task
    module: Any = task.build_module()
    module["denoiser"] = NextToNothing()
    told = task.validate(module, "cpu")
    assert told["loss"] / told["zero_loss"] == pytest.approx(1.0023, abs=0.002)
    assert told["better_than_trivial"] is False
    assert "no better than predicting zero" in told["verdict"]
