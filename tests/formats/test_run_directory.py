"""Run folders: recipe, metrics and their truncation, recipes that differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.training_parts import denoising_recipe

from facegen.errors import StorageError, UsageError
from facegen.formats.history import RunEvent, write_history
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


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        RunDirectory(tmp_path).recipe()


def test_a_torn_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("task: {kind: [")
    with pytest.raises(StorageError, match="unreadable"):
        RunDirectory(tmp_path).recipe()


def test_a_change_is_read_back_and_undone_also_where_only_its_history_was_written(tmp_path: Path) -> None:
    run, first = RunDirectory(tmp_path), denoising_recipe(Path("a"))
    run.start(first)
    assert run.history() == []
    changes = {"training.batch_size": (16, 8), "training.max_steps": (10, 11)}
    event = RunEvent(4, "2030-01-01T00:00:00+00:00", ["facegen"], changes)
    changed = denoising_recipe(Path("a"), batch_size=8, max_steps=11)
    write_history(tmp_path, [event])  # killed before the recipe
    assert run.recipe() == changed
    assert run.first_recipe() == first
    run.change(changed, [event])
    assert (run.recipe(), run.first_recipe(), run.history()) == (changed, first, [event])


def test_a_torn_history_is_refused(tmp_path: Path) -> None:
    RunDirectory(tmp_path).start(denoising_recipe(Path("a")))
    (tmp_path / "history.jsonl").write_text('{"step": 4, "da')
    with pytest.raises(StorageError, match="unreadable"):
        RunDirectory(tmp_path).recipe()


def test_metrics_are_cut_back_to_a_step_and_torn_lines_dropped(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (2, 4, 6):
        run.append_metrics({"step": step})
    with run.metrics_file.open("a") as stream:
        stream.write('{"step": 8, "lo')
    assert [record["step"] for record in run.metrics()] == [2, 4, 6]
    run.truncate_metrics(4)
    assert run.metrics_file.read_text() == '{"step": 2}\n{"step": 4}\n'
