"""A sweep as a whole: real runs in processes of their own, stopped, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.training_parts import denoising_recipe, write_latents

from facegen.errors import FacegenError, UsageError
from facegen.evaluation.compare import compare
from facegen.formats.run import RunDirectory, who_trains
from facegen.housekeeping.runs import list_runs
from facegen.progress import SilentProgress
from facegen.sweeping.options import SweepOptions
from facegen.sweeping.plan import save_recipe
from facegen.sweeping.record import SWEEP_FILE
from facegen.sweeping.sweep import sweep

pytestmark = pytest.mark.timeout(900)  # programs of their own, however busy the machine
GRID = "optimizer.lr=1e-3,1e18,1e-2,1e-5"  # the second diverges, the last hardly learns


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("recipe")
    latents = write_latents(place / "latents", {"train": 60, "validation": 24})
    return str(save_recipe(denoising_recipe(latents, max_steps=80), place / "tiny.yaml"))


@pytest.fixture(scope="module")
def done(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out, progress = tmp_path_factory.mktemp("sweep") / "out", SilentProgress()
    return sweep(recipe, out, SweepOptions(grid=(GRID,), minutes=30), progress), progress


def steps_in(out: Path) -> dict[str, int]:
    return {
        run.name: len(RunDirectory(run).metrics()) for run in out.iterdir() if (run / "recipe.yaml").is_file()
    }


@pytest.mark.slow
def test_one_run_fails_one_is_stopped_early_and_the_others_are_compared(done: Any) -> None:
    summary, progress = done
    states = {one.name: one.state for one in summary.runs}
    assert states == {
        "lr=0.01": "finished",
        "lr=0.001": "finished",
        "lr=1e+18": "failed",
        "lr=1e-05": "stopped early",
    }
    by_name = {one.name: one for one in summary.runs}
    assert summary.best == "lr=0.01"
    assert "not finite" in by_name["lr=1e+18"].about
    assert "the median of the 2 finished runs" in by_name["lr=1e-05"].about
    assert any("4 runs in " in line for line in progress.said)

    out = summary.out
    (found,) = compare(out / "lr=0.01", out / "lr=0.001", "loss").scores
    assert by_name["lr=0.001"].difference == found
    listed = {Path(one.run).name: one for one in list_runs(out).runs}
    assert listed["lr=0.01"].validation_loss == pytest.approx(summary.runs[0].loss, rel=1e-6)
    assert listed["lr=0.01"].scores["loss"] == summary.runs[0].loss
    assert listed["lr=1e-05"].state == "stopped early"
    assert listed["lr=1e+18"].state == "diverged"


@pytest.mark.slow
def test_the_page_names_every_run_and_no_place_of_this_machine(done: Any) -> None:
    page = done[0].page.read_text("utf-8")
    for one in done[0].runs:
        assert one.name in page
    assert "Held-out loss" in page
    assert str(done[0].out.parent) not in page


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_tells_the_same(done: Any, recipe: str) -> None:
    summary, before = done[0], steps_in(done[0].out)
    again = sweep(recipe, summary.out, SweepOptions(grid=(GRID,), minutes=30))
    assert steps_in(summary.out) == before
    assert again.runs == summary.runs
    with pytest.raises(UsageError, match=r"was begun with other settings. tried: .*lr"):
        sweep(recipe, summary.out, SweepOptions(grid=("optimizer.lr=1e-3",)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_ended_in_the_middle_of_a_run_goes_on(
    number: signal.Signals, recipe: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "facegen", "sweep", recipe, str(out), "--grid", "optimizer.lr=1e-3,1e-2"]
    command += ["--minutes", "30", "--json", "--set", "training.max_steps=600"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    run = RunDirectory(out / "lr=0.001")
    while not run.metrics():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    os.kill(process.pid, number)
    said = process.communicate(timeout=60)[1]
    deadline = time.monotonic() + 60
    while who_trains(run.path) is not None:
        assert time.monotonic() < deadline, "the run outlives its sweep"
        time.sleep(0.2)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "SIGINT: the sweep stopped; 0 of 2 runs are done" in said
        assert "Traceback" not in said
    assert 0 < json.loads((out / SWEEP_FILE).read_text())["seconds"] < 60 * 30
    options = SweepOptions(
        grid=("optimizer.lr=1e-3,1e-2",), minutes=40, overrides=("training.max_steps=600",)
    )
    progress = SilentProgress()
    summary = sweep(recipe, out, options, progress)
    assert [one.state for one in summary.runs] == ["finished", "finished"]
    assert any("lr=0.001 goes on" in line for line in progress.said)


@pytest.mark.slow
def test_a_search_goes_on_with_more_trials(recipe: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    search = ("optimizer.lr=1e-4..1e-1", "training.batch_size=8,16")
    first = sweep(recipe, tmp_path / "out", SweepOptions(search=search, trials=1, minutes=30))
    second = sweep(recipe, tmp_path / "out", SweepOptions(search=search, trials=2, minutes=40, at_once=2))
    assert {one.name for one in first.runs} < {one.name for one in second.runs}
    assert [one.state for one in second.runs] == ["finished", "finished"]


@pytest.mark.slow
def test_what_fails_in_its_first_steps_is_refused_before_anything_is_trained(
    recipe: str, tmp_path: Path
) -> None:
    options = SweepOptions(grid=("optimizer.lr=1e-3",), data=str(tmp_path / "nowhere"), minutes=30)
    with pytest.raises(
        FacegenError, match=r"few steps of 'lr=0.001' failed: .*nowhere.* does not exist"
    ) as found:
        sweep(recipe, tmp_path / "out", options)
    assert found.value.exit_code == 3


def test_a_folder_that_holds_something_else_is_left_alone(recipe: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="holds something else, such as 'mine'"):
        sweep(recipe, tmp_path, SweepOptions(grid=(GRID,)))
    with pytest.raises(UsageError, match="is a file"):
        sweep(recipe, tmp_path / "mine", SweepOptions(grid=(GRID,)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_minutes_too_few_to_try_each_are_refused_at_once(recipe: str, tmp_path: Path) -> None:
    grid = ("training.batch_size=2,4,8,16", "denoiser.depth=1,2")
    with pytest.raises(UsageError, match="too few to try a few steps of each of 8 kinds of runs"):
        sweep(recipe, tmp_path / "out", SweepOptions(grid=grid, minutes=0.2))
