"""Runs are listed with how they stand, whatever state their folders are in, and without torch."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.training_parts import denoising_recipe, write_latents
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.run import RunDirectory, locked_run
from facegen.housekeeping.runs import FoundRun, list_runs
from facegen.training.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of six steps with a report."""
    folder = tmp_path_factory.mktemp("runs")
    latents = write_latents(folder / "latents")
    train(denoising_recipe(latents, max_steps=6), folder / "run", device="cpu")
    (folder / "run" / "evaluations").mkdir()
    for name, fid in (("old", 40.5), ("new", 33.25)):
        file = folder / "run" / "evaluations" / f"fid-{name}.json"
        file.write_text(json.dumps({"format_version": 1, "scores": {"fid": {"value": fid}}}))
        os.utime(file, (1000.0, 1000.0 + fid))
    os.utime(folder / "run" / "evaluations" / "fid-old.json", (1.0, 1.0))
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "runs" / "mine")


def one(run: Path) -> FoundRun:
    (found,) = list_runs(run.parent).runs
    return found


def test_a_finished_run_is_told_with_its_scores_and_its_size(run: Path) -> None:
    found = one(run)
    assert (found.state, found.step, found.num_steps) == ("finished", 6, 6)
    assert (found.task, found.preset, found.best_by) == ("denoising", None, "loss")
    assert found.scores == {"fid": 33.25}
    assert found.best_value == found.validation_loss
    assert found.damage == ()
    everything = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    linked = sum(file.stat().st_size for file in run.rglob("autoencoder/*"))
    assert everything - linked <= found.size_bytes <= everything


def _shorter(run: Path) -> None:
    for folder in list_checkpoints(run):
        told = json.loads((folder / "checkpoint.json").read_text())
        (folder / "checkpoint.json").write_text(json.dumps({**told, "step": 2}))


def _capsule(run: Path) -> None:
    _shorter(run)
    (run / "capsules" / "step-00000008").mkdir(parents=True)


def _stopped_by_scores(run: Path) -> None:
    _shorter(run)
    RunDirectory(run).append_metrics({"step": 6, "group": "stop", "reason": "fid was best at step 2"})


def _emptied(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "recipe.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "state", "about"),
    [
        (_shorter, "stopped", "step 2 of 6"),
        (_capsule, "diverged", "after step 9 of 6, checkpoint of step 2"),
        (_stopped_by_scores, "stopped early", "step 2 of 6: fid was best at step 2"),
        (_emptied, "not begun", "recipe was written"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "not begun", "no step was saved"),
        (
            lambda run: (run / "recipe.yaml").write_text("task: {kind: ["),
            "damaged",
            "recipe.yaml' is unreadable",
        ),
        (lambda run: (run / "recipe.yaml").unlink(), "damaged", "has no recipe.yaml"),
        (lambda run: (run / "history.jsonl").write_text("{"), "damaged", "history.jsonl' is unreadable"),
        (
            lambda run: (list_checkpoints(run)[-1] / "checkpoint.json").write_text("{"),
            "damaged",
            "is corrupt",
        ),
        (lambda run: (list_checkpoints(run)[-1] / "model.safetensors").unlink(), "damaged", "is missing"),
        (
            lambda run: (list_checkpoints(run)[-1] / "checkpoint.json").unlink(),
            "damaged",
            "no checkpoint.json",
        ),
        (lambda run: (run / "recipe.yaml").write_text("task: 3\ntraining: []"), "unknown", "step 6"),
    ],
)
def test_every_other_state_is_told(
    run: Path, change: Callable[[Path], object], state: str, about: str
) -> None:
    change(run)
    found = one(run)
    assert found.state == state
    assert about in found.about
    told = CliRunner().invoke(app, ["runs", str(run.parent)])
    assert (told.exit_code, state in told.stdout) == (0, True)


def test_a_run_is_running_while_its_lock_is_held_and_not_once_the_holder_was_killed(run: Path) -> None:
    other = shutil.copytree(run, run.parent / "other")
    with locked_run(other):
        found = list_runs(run.parent).runs
        here = f"by PID {os.getpid()} on host '{socket.gethostname()}'"
        assert (found[0].run, found[0].state, found[1].state) == (str(other), "running", "finished")
        assert found[0].about == f"step 6 of 6, {here}"
        killed = (other / "run.lock").read_text()
    assert list_runs(other).runs[0].state == "finished"
    (other / "run.lock").write_text(killed)
    assert list_runs(other).runs[0].state == "finished"
    assert (other / "run.lock").read_text() == killed
    (other / "run.lock").write_text(killed.replace(socket.gethostname(), "elsewhere"))
    assert "on host 'elsewhere'" in list_runs(other).runs[0].about


@pytest.mark.parametrize(("epochs", "state"), [(1, "stopped"), (None, "finished")])
def test_a_run_of_epochs_ends_after_their_images(
    made: Path, run: Path, epochs: int | None, state: str
) -> None:
    recipe = RunDirectory(run).recipe()
    seen = json.loads((list_checkpoints(run)[-1] / "checkpoint.json").read_text())["images_seen"]
    environment = json.loads((made / "environment.json").read_text())
    assert environment["num_examples"] == "40"
    environment["num_examples"] = str(seen + 1 if epochs else seen)
    (run / "environment.json").write_text(json.dumps(environment))
    by_epochs = {"max_steps": None, "epochs": 1, "checkpoint_every_steps": None}
    RunDirectory(run).change(
        recipe.model_copy(update={"training": recipe.training.model_copy(update=by_epochs)}), []
    )
    found = one(run)
    assert (found.state, found.num_steps) == (state, 7 if epochs else 6)


def test_runs_are_found_five_folders_deep_and_the_newest_stands_first(run: Path) -> None:
    deep, deeper = run.parent / "b/c/d/e/run", run.parent / "b/c/d/e/f/run"
    for place in (deep, deeper):
        shutil.copytree(run, place)
    os.utime(run, (4e9, 4e9))
    (run.parent / "link").symlink_to(deep)
    (run.parent / "config").mkdir()
    shutil.copy(run / "recipe.yaml", run.parent / "config")
    assert [found.run for found in list_runs(run.parent).runs] == [str(run), str(deep)]


def test_a_folder_without_runs_says_what_to_do(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["runs", str(tmp_path)])
    assert told.exit_code == 0
    assert "There is no run in" in told.stdout
    assert "facegen train" in told.stdout
    nothing = json.loads(CliRunner().invoke(app, ["runs", str(tmp_path), "--json"]).stdout)
    assert nothing == {"folder": str(tmp_path), "runs": []}
    with pytest.raises(UsageError, match="not there"):
        list_runs(tmp_path / "none")


def test_listing_loads_no_torch(made: Path) -> None:
    script = "import sys; from facegen.cli.app import app; app(['runs', sys.argv[1]], standalone_mode=False)"
    script += "; assert 'torch' not in sys.modules, 'torch'"
    told = subprocess.run([sys.executable, "-c", script, str(made)], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "finished" in told.stdout
