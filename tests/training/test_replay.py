"""A capsule opened again: what was not finite first, and what went into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.training_parts import denoising_recipe, latent_trainer, write_latents
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import StorageError, TrainingDivergedError, UsageError
from facegen.training.replay import replay


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


@pytest.fixture
def capsule(tmp_path: Path, latents: Path) -> Path:
    """Of a run in whose first layer numbers grow beyond float32."""
    trainer = latent_trainer(tmp_path / "run", denoising_recipe(latents, max_bad_steps=2))
    trainer.module.get_parameter("denoiser.patch_in.weight").data.fill_(1e38)
    with pytest.raises(TrainingDivergedError, match="facegen replay") as diverged:
        trainer.fit()
    assert diverged.value.exit_code == 6
    return tmp_path / "run" / "capsules" / "step-00000001"


def test_the_first_operation_that_is_not_finite_is_named_with_what_went_in(capsule: Path) -> None:
    found = replay(capsule, device="cpu")
    assert (found.what, found.where, found.precision) == ("operation", "denoiser.patch_in", "fp32")
    assert all(one.nans == one.infinities == 0 for one in found.came_in)
    assert max(one.highest or 0 for one in found.came_in) == pytest.approx(1e38)
    assert sum(one.nans + one.infinities for one in found.came_out) > 0
    assert "denoiser.patch_in.weight" in found.gradients


def test_weights_and_batches_that_were_not_finite_before_are_named(capsule: Path) -> None:
    batch = load_file(capsule / "batch.safetensors")
    spoiled = {**batch, "x0": torch.full_like(batch["x0"], float("nan"))}
    save_file(spoiled, capsule / "batch.safetensors")
    found = replay(capsule, device="cpu")
    assert (found.what, found.name) == ("batch", "x0")
    weights = load_file(capsule / "model.safetensors")
    weights["denoiser.patch_in.bias"][0] = float("inf")
    save_file(weights, capsule / "model.safetensors")
    found = replay(capsule, device="cpu")
    assert (found.what, found.name) == ("weights", "denoiser.patch_in.bias")


def test_a_finite_step_is_told_so_and_where_a_batch_is_too_large(capsule: Path) -> None:
    weights = {name: one.clamp(-0.1, 0.1) for name, one in load_file(capsule / "model.safetensors").items()}
    save_file(weights, capsule / "model.safetensors")
    found = replay(capsule, device="cpu")
    assert (found.what, found.name, found.gradients) == ("nothing", None, ())
    assert found.loss is not None
    batch = load_file(capsule / "batch.safetensors")
    save_file({**batch, "x0": batch["x0"] * 0 + 1e20}, capsule / "batch.safetensors")
    found = replay(capsule, device="cpu")
    assert (found.what, found.where) == ("operation", "denoiser.blocks.0")


def test_a_capsule_elsewhere_is_given_its_data_and_the_command_tells(
    capsule: Path, latents: Path, tmp_path: Path
) -> None:
    moved = str(capsule.rename(tmp_path / "moved"))
    refused = CliRunner().invoke(app, ["replay", moved])
    assert refused.exit_code == 3
    assert "--data" in refused.stderr
    words = ["replay", moved, "--data", str(latents), "--device", "cpu"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "The first operation whose output is not finite" in shown.stdout
    assert "denoiser.patch_in" in shown.stdout
    told = CliRunner().invoke(app, [*words, "--json", "--quiet"])
    assert json.loads(told.stdout)["what"] == "operation"


def test_what_is_no_capsule_or_damaged_is_refused(capsule: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a capsule"):
        replay(tmp_path)
    (capsule / "model.safetensors").write_bytes(b"half")
    with pytest.raises(StorageError, match="is damaged"):
        replay(capsule, device="cpu")
