"""What can be made again is told by kind and goes when asked to; everything else stays, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from support.training_parts import denoising_recipe, write_latents
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.disk import freed_by
from facegen.formats.far_cache import uses_of
from facegen.formats.files import sha256_of
from facegen.formats.run import locked_run
from facegen.housekeeping.clean import CHECKPOINTS as SPARE
from facegen.housekeeping.clean import COPIES, FEATURES, SAVES, TEMPORARY, UNFINISHED, Cleaning, look, remove
from facegen.housekeeping.options import CleanOptions
from facegen.training.train import train

DEAD = 2**22 + 1  # above the highest PID that Linux gives
HOST = socket.gethostname()
ALL = CleanOptions(checkpoints=True, unfinished=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents and a finished run with checkpoints of steps 2, 4, 6 and 8, of which 4 is the best."""
    folder = tmp_path_factory.mktemp("made")
    every = {"checkpoint_every_steps": 2, "keep_last": 9}
    train(
        denoising_recipe(write_latents(folder / "latents"), max_steps=8, **every),
        folder / "run",
        device="cpu",
    )
    for checkpoint, loss in zip(list_checkpoints(folder / "run"), (3.0, 1.0, 2.0, 2.0), strict=True):
        told = json.loads((checkpoint / "checkpoint.json").read_text())
        (checkpoint / "checkpoint.json").write_text(json.dumps({**told, "metrics": {"loss": loss}}))
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(made, tmp_path / "home")


def contents(folder: Path) -> dict[str, str]:
    """All files but the lock, which is taken to look."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "run.lock"]
    return {str(file.relative_to(folder)): sha256_of(file) for file in files}


def kinds(found: Cleaning) -> dict[str, list[str]]:
    return {one.kind: [Path(path).name for path in one.paths] for one in found.things if one.paths}


def put(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)


def test_temporary_files_of_the_dead_go_and_those_of_the_living_and_of_other_hosts_stay(home: Path) -> None:
    before = contents(home)
    put(home / f"latents/.index.json.{HOST}.{DEAD}.tmp", home / f"run/.metrics.{HOST}.{DEAD}.tmp")
    put(home / f"new/.faces.{HOST}.{DEAD}.tmp/data/part.parquet")
    theirs = [home / f".a.{HOST}.{os.getpid()}.tmp", home / f".a.elsewhere.{DEAD}.tmp", home / "my.5.tmp"]
    put(*theirs)
    found = look(home, CleanOptions())
    assert {kind: len(names) for kind, names in kinds(found).items()} == {TEMPORARY: 3}
    assert found.size_bytes == 3000
    assert remove(found, CleanOptions()).size_bytes == 3000
    assert contents(home).items() >= before.items()
    assert len(contents(home)) == len(before) + len(theirs)
    assert all(file.is_file() for file in theirs)


def test_what_killed_saves_left_goes_unless_it_may_be_the_only_weights(home: Path) -> None:
    before = contents(home)
    put(home / "run/checkpoints/.step-00000001.corrupt/model.safetensors")
    found = look(home, CleanOptions())
    assert kinds(found) == {SAVES: [".step-00000001.corrupt"]}
    remove(found, CleanOptions())
    assert contents(home) == before
    shutil.rmtree(home / "run/checkpoints")
    put(home / "run/checkpoints/.step-00000001.corrupt/model.safetensors")
    assert kinds(look(home, CleanOptions())) == {}


def test_of_a_finished_run_the_best_and_the_newest_checkpoint_stay_and_what_is_freed_is_told(
    home: Path,
) -> None:
    latents = contents(home / "latents")
    spare = [home / "run/checkpoints" / f"step-0000000{step}" for step in (2, 6)]
    assert kinds(look(home, CleanOptions())) == {}
    found = look(home, ALL)
    assert kinds(found) == {SPARE: [folder.name for folder in spare]}
    everything = sum(file.stat().st_size for folder in spare for file in folder.rglob("*") if file.is_file())
    assert found.size_bytes == everything
    os.link(home / "latents/index.json", spare[0] / "linked")
    assert look(home, ALL).size_bytes == everything
    done = remove(found, ALL)
    assert (done.size_bytes, done.left) == (found.size_bytes, {})
    assert [folder.name[-1] for folder in list_checkpoints(home / "run")] == ["4", "8"]
    assert list((home / "run/checkpoints").glob(".*")) == []
    assert contents(home / "latents") == latents


def test_a_file_of_two_names_is_freed_with_the_last_of_them(tmp_path: Path) -> None:
    put(tmp_path / "a/file", tmp_path / "b/other")
    os.link(tmp_path / "a/file", tmp_path / "b/file")
    assert [freed_by(tmp_path / name) for name in "ab"] == [0, 1000]
    assert freed_by(tmp_path / "a", tmp_path / "b") == 2000


def _cut(checkpoint: str) -> Callable[[Path], None]:
    def cut(run: Path) -> None:
        os.truncate(run / "checkpoints" / checkpoint / "model.safetensors", 100)

    return cut


@pytest.mark.parametrize(
    "change",
    [
        _cut("step-00000004"),
        _cut("step-00000008"),
        lambda run: (run / "checkpoints/step-00000006/checkpoint.json").write_text("{"),
        lambda run: shutil.rmtree(run / "checkpoints/step-00000008"),  # stopped at step 6 of 8
    ],
)
def test_no_checkpoint_goes_of_a_run_that_is_damaged_or_not_done(
    home: Path, change: Callable[[Path], object]
) -> None:
    change(home / "run")
    assert kinds(look(home, ALL)) == {}


def test_a_run_in_use_is_left_also_when_it_is_taken_up_after_the_look(home: Path) -> None:
    put(home / "run/checkpoints/.step-00000001.corrupt/a", home / f"run/.metrics.{HOST}.{DEAD}.tmp")
    seen = look(home, ALL)
    assert len(kinds(seen)) == 3
    with locked_run(home / "run"):
        before = contents(home)
        found = look(home, ALL)
        assert (kinds(found), list(found.left)) == ({}, [str(home / "run")])
        done = remove(Cleaning(seen.looked_in, tuple(t for t in seen.things if t.kind != TEMPORARY)), ALL)
        assert kinds(done) == {}
        assert len(done.left) == 3
        assert all(f"PID {os.getpid()}" in why for why in done.left.values())
        assert contents(home) == before


def test_unfinished_work_goes_only_when_asked_and_nobody_works_on_it(home: Path) -> None:
    sampled, prepared, whole = home / ".0001.partial", home / ".a.partial", home / ".b.partial"
    put(sampled / "settings.json", sampled / "pictures/seed.png", prepared / "job.json", whole / "job.json")
    put(whole / "dataset/dataset.json", home / ".mine.partial/notes.txt")
    assert kinds(look(home, CleanOptions())) == {}
    found = look(home, CleanOptions(unfinished=True))
    assert kinds(found) == {UNFINISHED: [".0001.partial", ".a.partial"]}
    with FileLock(prepared / "lock"):
        done = remove(found, CleanOptions(unfinished=True))
    assert (done.left[str(prepared)], str(whole) in done.left) == ("in use", True)
    assert [sampled.exists(), prepared.exists(), whole.exists()] == [False, True, True]
    assert (home / ".mine.partial/notes.txt").is_file()


def test_the_cache_goes_but_for_what_a_command_may_be_using(home: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    put(cache / "features/a.safetensors", cache / "features/old.parts/0", cache / "features/new.parts/0")
    long_ago = time.time() - 2 * 24 * 3600
    for path in (cache / "features/old.parts/0", cache / "features/old.parts"):
        os.utime(path, (long_ago, long_ago))
    free, used = cache / "far/1-2", cache / "far/3-4"
    for copy in (free, used):
        put(copy / "latents/shard", uses_of(copy) / "planned")
    put(cache / "box/1/box/recipe.yaml")
    found = look(cache, CleanOptions())
    assert kinds(found) == {FEATURES: ["a.safetensors", "old.parts"], COPIES: ["1-2", "3-4"]}
    assert "0.0 hours ago" in found.left[str(cache / "features/new.parts")]
    with FileLock(uses_of(used) / "mark.lock"):
        done = remove(found, CleanOptions())
    assert kinds(done)[COPIES] == ["1-2"]
    assert done.left[str(used)] == "in use"
    assert sorted(path.name for path in (cache / "features").iterdir()) == ["new.parts"]
    assert [free.exists(), uses_of(free).exists(), used.exists()] == [False, False, True]
    assert (cache / "box/1/box/recipe.yaml").is_file()


def told(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, ["clean", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_nothing_goes_without_yes(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "cache/features/a.safetensors", home / f".a.{HOST}.{DEAD}.tmp")
    monkeypatch.chdir(home)
    before = contents(tmp_path)
    assert "add --yes" in told([])
    assert len(json.loads(told(["--json"]))["things"]) == 2
    assert len(json.loads(told([".", "--json"]))["things"]) == 1
    assert contents(tmp_path) == before
    gone = json.loads(told(["--yes", "--json"]))
    assert (gone["removed"], gone["size_bytes"]) == (True, 2000)
    assert len(contents(tmp_path)) == len(before) - 2
    assert "nothing to remove" in told([])


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "file")
    with pytest.raises(UsageError, match="is a file"):
        look(tmp_path / "file", CleanOptions())
    with pytest.raises(UsageError, match="not there"):
        look(tmp_path / "none", CleanOptions())
