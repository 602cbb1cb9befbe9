"""Training on a GPU: the same run in every number format, compiled or not, interrupted or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from support.devices import CUDA, DEVICES, measured
from support.training_parts import latent_trainer

from facegen.config.recipe import EmaConfig, Recipe
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.training.train import train
from facegen.training.verify_resume import TOLERANCE, Verdict, _compared, _copy_until, _pairs

ROOT = Path(__file__).resolve().parents[2]
# Every run sees the same images, noise and timesteps, so that only rounding sets them apart: bf16 keeps 8
# bits of a number, whose errors of 0.4 % are unrelated and mostly cancel in the mean loss of many steps.
HALF_PRECISION = 0.02
# A compiled network rounds elsewhere; 50 steps of training let the last bits grow.
COMPILED = 2e-3


@pytest.mark.parametrize("device", DEVICES)
def test_losses_in_half_precision_follow_those_in_fp32(device: str, recipe_on, tmp_path: Path) -> None:
    steps = {"cpu": 100, "cuda": 500}[device]
    losses = {}
    for precision in ("fp32", "bf16", "fp16"):
        recipe = recipe_on(device, max_steps=steps, precision=precision, log_every_steps=steps // 10)
        train(recipe, tmp_path / precision, device=device)
        losses[precision] = torch.tensor(logged_losses(tmp_path / precision))
    exact = losses.pop("fp32")
    assert exact[-1] < 0.9 * exact[0]
    for precision, found in losses.items():
        apart = (found / exact - 1).abs()[1:].max().item()  # fp16's first steps look for their loss scale
        measured(f"{device}, {precision} losses against fp32, {steps} steps", f"{apart:.2e}")
        assert apart < HALF_PRECISION, precision


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), CUDA])
@pytest.mark.parametrize("way", ["compiled", "graphs"])
def test_a_compiled_run_has_the_losses_and_names_of_a_plain_one(
    device: str, way: str, recipe_on, tmp_path: Path
) -> None:
    """Without an average, so that the network that is trained is also judged and drawn with on the way."""
    losses, names = [], []
    settings = {"max_steps": 50, "log_every_steps": 1, "validate_every_steps": 20, "preview_every_steps": 20}
    recipe = recipe_on(device, **settings, preview_images=4)
    recipe = recipe.model_copy(update={"ema": EmaConfig(enabled=False)})
    for name in ("eager", way):
        train_by_command(recipe, tmp_path / name, device, name)
        losses.append(torch.tensor(logged_losses(tmp_path / name)))
        checkpoint = load_checkpoint(tmp_path / name, "latest")
        assert checkpoint.training_state()["way"] == name
        names.append(checkpoint.weights("model").keys())
    assert names[0] == names[1]
    apart = (losses[1] / losses[0] - 1).abs().max().item()
    measured(f"{device}, {way} against plain losses, 50 steps", f"{apart:.2e}")
    assert apart < COMPILED


@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_run_repeats_the_uninterrupted_one(
    device: str, recipe_on, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic sums ask of cuBLAS
    precision = "fp32" if device == "cpu" else "bf16"
    recipe = recipe_on(
        device, max_steps=8, log_every_steps=1, checkpoint_every_steps=4, keep_last=9, precision=precision
    )
    try:
        with deterministic():
            verdict = resumed(recipe, tmp_path / "deterministic", device, tolerance=0.0)
        how = "exact, deterministic algorithms"
    except (RuntimeError, UserWarning) as error:  # of torch, where an operation has none
        verdict = resumed(recipe, tmp_path / "plain", device, tolerance=TOLERANCE)
        how = f"within {TOLERANCE:g} (no deterministic algorithm: {str(error).splitlines()[0]})"
    measured(f"{device}, resumed against uninterrupted", f"{how}; largest difference {verdict.largest:.2e}")
    assert verdict.compared > 20
    assert verdict.refusal is None, verdict.difference


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_no_step_waits_for_the_device(device: str, precision: str, recipe_on, tmp_path: Path) -> None:
    trainer = latent_trainer(tmp_path / "run", recipe_on(device, max_steps=99, precision=precision), device)
    trainer.module.train()
    batch = trainer._load_batch(0)
    for _ in range(3):  # the first ones build handles and set up optimizer states
        batch = trainer._train_step(batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            batch = trainer._train_step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def logged_losses(run: Path) -> list[float]:
    return [entry["loss"] for entry in RunDirectory(run).metrics() if entry["group"] == "train"]


CALLED_AS = """
import sys
from facegen.cli.app import main
from facegen.training.compiling import call_as
from facegen.training.trainer import Trainer

way = sys.argv.pop(1)

def choose(trainer, batch):
    trainer.way = way
    call_as(way, trainer.module)

Trainer._choose_compilation = choose
main()
"""


def train_by_command(recipe: Recipe, run: Path, device: str, way: str) -> None:
    """With the network called in a `way`, in a process of its own: there nothing checks shapes."""
    config = run.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    words = ("train", "--config", config, "--run", run, "--device", device, "-q")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-c", CALLED_AS, way, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def resumed(recipe: Recipe, folder: Path, device: str, tolerance: float) -> Verdict:
    """Compare all of a run with its second half, made again from its checkpoint in the middle."""
    straight, again = folder / "straight", folder / "again"
    train(recipe, straight, device=device)
    half = (recipe.training.max_steps or 0) // 2
    _copy_until(straight, again, half)
    train(recipe, again, resume=True, device=device)
    return _compared(list(_pairs(straight, again)), half, device, tolerance)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
