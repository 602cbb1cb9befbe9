"""Run folders: recipe, metrics and their truncation, recipes that differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.training_parts import denoising_recipe

from facegen.errors import StorageError, UsageError
from facegen.formats.run import RunDirectory, locked_run


def test_the_recipe_comes_back_whole(tmp_path: Path) -> None:
    recipe = denoising_recipe(Path("latents"))
    with locked_run(tmp_path / "a" / "run") as run:
        assert not run.exists
        run.start(recipe)
        assert run.exists
        assert run.recipe() == recipe
    environment = json.loads((tmp_path / "a" / "run" / "environment.json").read_text())
    assert environment["packages"].keys() >= {"torch", "numpy"}


def test_the_lock_is_released_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with locked_run(tmp_path):
            assert (tmp_path / "run.lock").stat().st_size > 0
        assert (tmp_path / "run.lock").stat().st_size == 0


def test_locks_do_without_fcntl() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import facegen.formats.run, facegen.preparation.parts"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        RunDirectory(tmp_path).recipe()


def test_a_torn_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("task: {kind: [")
    with pytest.raises(StorageError, match="unreadable"):
        RunDirectory(tmp_path).recipe()


def test_another_recipe_is_refused_naming_the_keys(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.start(denoising_recipe(Path("a")))
    run.check_same_recipe(denoising_recipe(Path("b")))  # moved data: compared by fingerprint
    with pytest.raises(UsageError) as refused:
        run.check_same_recipe(denoising_recipe(Path("a"), batch_size=8, max_steps=11))
    message = str(refused.value)
    assert "training.batch_size: 16 in the run, 8 now" in message
    assert "training.max_steps: 10 in the run, 11 now" in message
    assert "optimizer" not in message


def test_metrics_are_cut_back_to_a_step_and_torn_lines_dropped(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (2, 4, 6):
        run.append_metrics({"step": step})
    with run.metrics_file.open("a") as stream:
        stream.write('{"step": 8, "lo')
    assert [record["step"] for record in run.metrics()] == [2, 4, 6]
    run.truncate_metrics(4)
    assert run.metrics_file.read_text() == '{"step": 2}\n{"step": 4}\n'
