"""Checkpoints copied in the background to a far store, which is fsspec's memory file system."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from support.far_store import names, suffering
from support.training_parts import denoising_recipe, write_latents

from facegen.config.recipe import EmaConfig
from facegen.errors import MissingModelError, UsageError
from facegen.formats import far_store
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.far import near
from facegen.progress import SilentProgress
from facegen.training import uploading
from facegen.training.ema_afterwards import average_afterwards
from facegen.training.train import train
from facegen.training.uploading import take_back

URL = "memory://bucket/runs/tiny"


@pytest.fixture(autouse=True)
def empty_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(far_store, "RETRY_PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(uploading, "LAST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    yield
    for thread in threading.enumerate():
        if thread.name == "upload":  # would write into the next test's store
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def far_contents() -> dict[str, bytes]:
    system = MemoryFileSystem()
    return {name: system.cat_file(f"/bucket/runs/tiny/{name}") for name in names(URL)}


def test_the_far_run_becomes_the_run(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL)
    here = contents(tmp_path / "run")
    expected = [
        name for name in here if name.startswith("checkpoints/") or name in uploading.BESIDE_CHECKPOINTS
    ]
    assert far_contents() == {name: here[name] for name in expected}
    assert len(list_checkpoints(tmp_path / "run")) < 4  # older ones were removed, there too


def test_each_checkpoint_is_whole_there_before_its_json(tmp_path: Path, latents: Path) -> None:
    missing: list[str] = []

    def look(path: str, count: int) -> None:
        if path.endswith("checkpoint.json"):
            folder = path.rpartition("/")[0].removeprefix("/bucket/runs/tiny/")
            there = {name.rpartition("/")[2] for name in names(URL) if name.startswith(folder)}
            missing.extend({"model.safetensors", "ema.safetensors", "training_state.pt"} - there)

    with suffering("put_file", look) as asked:
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL)
    assert any(path.endswith("checkpoint.json") for path in asked)
    assert not missing


def test_a_store_that_fails_is_warned_about_once_and_training_goes_on(tmp_path: Path, latents: Path) -> None:
    def fail(path: str, count: int) -> None:
        if count <= 4:
            raise ConnectionResetError("gone")

    progress = SilentProgress()
    with suffering("put_file", fail):
        summary = train(
            denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL, progress=progress
        )
    assert summary.steps == 10
    warned = [line for line in progress.warned if "training goes on" in line]
    assert 1 <= len(warned) <= 4
    assert far_contents().keys() >= {"recipe.yaml", "checkpoints/step-00000010/checkpoint.json"}


def test_an_upload_that_never_ends_is_waited_for_a_bounded_time(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "LAST_WAIT_SECONDS", 0.2)
    progress, release = SilentProgress(), threading.Event()
    with suffering("put_file", lambda path, count: release.wait(20) and None):
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL, progress=progress)
        assert any("is not complete" in line for line in progress.warned)
        release.set()


def _killed_in_a_checkpoint(latents: Path, run: Path, dump: Path) -> None:
    def die(path: str, count: int) -> None:
        if path.endswith("training_state.pt"):
            dump.write_text("\n".join(names(URL)))
            os._exit(9)

    with suffering("put_file", die):
        train(denoising_recipe(latents), run, device="cpu", upload=URL)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_upload_leaves_no_checkpoint_that_looks_whole(tmp_path: Path, latents: Path) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_killed_in_a_checkpoint, args=(latents, tmp_path / "run", tmp_path / "dump")
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    there = (tmp_path / "dump").read_text().splitlines()
    assert any(name.endswith("model.safetensors") for name in there)
    assert not any(name.endswith("checkpoint.json") for name in there)


def test_a_resumed_run_copies_the_rest(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "run", device="cpu")
    train(recipe, tmp_path / "run", resume=True, device="cpu", upload=URL)
    with suffering("put_file", lambda path, count: None) as asked:
        train(recipe, tmp_path / "run", resume=True, device="cpu", upload=URL)
    there = {name.split("/")[1] for name in names(URL) if name.startswith("checkpoints/")}
    assert there == {folder.name for folder in list_checkpoints(tmp_path / "run")}
    assert not [path for path in asked if "checkpoints" in path]  # the same are not copied again


def test_a_run_whose_machine_is_lost_goes_on_from_its_copy(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    recipe, whole, lost = denoising_recipe(latents), tmp_path / "whole", tmp_path / "lost"
    train(recipe, whole, device="cpu", upload=URL)
    MemoryFileSystem().rm(f"{URL}/checkpoints/step-00000010", recursive=True)
    take_back(URL, lost, SilentProgress())
    assert sorted(folder.name for folder in list_checkpoints(lost)) < ["step-00000010"]
    train(recipe, lost, resume=True, device="cpu", upload=URL)
    ends = [load_checkpoint(run, "latest").weights("model") for run in (whole, lost)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    there = {name.split("/")[1] for name in names(URL) if name.startswith("checkpoints/")}
    assert there == {folder.name for folder in list_checkpoints(lost)}
    before = contents(lost)
    take_back(URL, lost, SilentProgress())
    assert contents(lost) == before  # a run that is here is left alone
    take_back("memory://bucket/runs/none", tmp_path / "none", SilentProgress())
    assert not (tmp_path / "none").exists()


def test_a_far_folder_that_holds_a_run_is_not_written_over(tmp_path: Path, latents: Path) -> None:
    MemoryFileSystem().pipe_file("/bucket/runs/tiny/environment.json", b"mine")
    with pytest.raises(UsageError, match="already holds a run"):
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL)
    assert not (tmp_path / "run").exists()


def test_another_runs_copy_is_not_written_over_by_a_run_that_goes_on(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents)
    train(recipe, tmp_path / "one", device="cpu", upload=URL)
    train(recipe, tmp_path / "other", device="cpu")
    before = far_contents()
    with pytest.raises(UsageError, match="already holds another run"):
        train(recipe, tmp_path / "other", resume=True, device="cpu", upload=URL)
    assert far_contents() == before
    train(recipe, tmp_path / "one", resume=True, device="cpu", upload=URL)


def test_a_copy_that_cannot_be_asked_for_is_not_taken_for_none(tmp_path: Path) -> None:
    with denied(), pytest.raises(MissingModelError, match="403"):
        take_back(URL, tmp_path / "run", SilentProgress())


def test_snapshots_of_averages_go_along(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    recipe = denoising_recipe(latents)
    recipe = recipe.model_copy(update={"ema": EmaConfig(widths=[0.05, 0.1], snapshots=5)})
    train(recipe, tmp_path / "run", device="cpu", upload=URL)
    take_back(URL, tmp_path / "back", SilentProgress())
    assert contents(tmp_path / "back" / "ema") == contents(tmp_path / "run" / "ema") != {}
    monkeypatch.chdir(tmp_path)
    made = average_afterwards(near(URL), 0.08)
    assert made.checkpoint == "tiny/ema/width-0.08"
    assert load_checkpoint(tmp_path / made.checkpoint).info.ema_width == 0.08


def test_whatever_a_store_raises_ends_neither_training_nor_the_copying(tmp_path: Path, latents: Path) -> None:
    def fail(path: str, count: int) -> None:
        if count <= 2:
            raise ValueError("of the store's package")

    progress = SilentProgress()
    with suffering("put_file", fail):
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL, progress=progress)
    assert any("of the store's package" in line for line in progress.warned)
    assert not any("is not complete" in line for line in progress.warned)
    assert "checkpoints/step-00000010/checkpoint.json" in names(URL)


def test_a_store_without_access_is_refused_before_a_run_starts(tmp_path: Path, latents: Path) -> None:
    with denied(), pytest.raises(MissingModelError, match="403"):
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=URL)
    assert not (tmp_path / "run").exists()


@contextmanager
def denied() -> Iterator[Any]:
    def deny(path: str, count: int) -> None:
        raise PermissionError("Forbidden")

    with suffering("ls", deny), suffering("info", deny) as asked:
        yield asked


def test_a_local_folder_is_no_place_to_upload_to(tmp_path: Path, latents: Path) -> None:
    with pytest.raises(UsageError, match="--upload"):
        train(denoising_recipe(latents), tmp_path / "run", device="cpu", upload=str(tmp_path / "far"))
