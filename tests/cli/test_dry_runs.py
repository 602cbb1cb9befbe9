"""`--dry-run` tells time, memory and disk, writes nothing, and refuses what the command refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.generator_parts import save_run
from support.tiny_dataset import write_dataset
from support.training_parts import denoising_recipe, write_latents
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.forecast import Forecast
from facegen.training import dry_run

FIGURES = ("seconds", "memory_bytes", "disk_bytes")


def run(*line: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, line), "--dry-run", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_sampling_is_told_and_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = run("sample", save_run(tmp_path / "run"), "--prompt", "a smiling man", "--count", 1000)
    assert all(told[name] > 0 for name in FIGURES)
    assert (told["count"], told["what"]) == (1000, "images")
    assert told["probed"] < 1000
    assert not (tmp_path / "samples").exists()


@pytest.mark.slow
def test_preparing_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    told = run("prepare", "avatars", "--out", tmp_path / "data", "--count", 900, "--size", 16)
    assert all(told[name] > 0 for name in FIGURES)
    assert told["count"] == 900
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_encoding_training_and_judging_are_told_and_nothing_is_made(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", counts={"train": 64, "validation": 32, "test": 0})
    told = run("encode", tmp_path / "data", "--autoencoder", "identity", "--out", tmp_path / "latents")
    assert (told["count"], told["what"]) == (96, "images")
    made = CliRunner().invoke(
        app,
        ["encode", str(tmp_path / "data"), "--autoencoder", "identity", "--out", str(tmp_path / "latents")],
    )
    assert made.exit_code == 0
    disk = sum(path.stat().st_size for path in (tmp_path / "latents").rglob("*") if path.is_file())
    assert told["disk_bytes"] == pytest.approx(disk, rel=0.25)
    words = (
        "--preset",
        "avatars",
        "--size",
        "smoke",
        "--data",
        tmp_path / "latents",
        "--run",
        tmp_path / "new",
    )
    trained = run("train", *words)
    assert trained["what"] == "steps"
    assert trained["recipe"]["preset"] == "avatars"
    other = write_dataset(tmp_path / "other", counts={"train": 40, "validation": 32, "test": 0}, seed=1)
    judged = run(
        *("eval", "fid", other.folder, "--reference", data.folder, "--features", "random-inception"),
        *("--split", "train"),
    )
    assert judged["count"] == 40
    for each in (told, trained, judged):
        assert all(each[name] > 0 for name in FIGURES)
    assert not (tmp_path / "new").exists()


def refused(*line: object) -> str:
    result = CliRunner().invoke(app, [*map(str, line), "--dry-run"])
    assert result.exit_code in (2, 3)
    return " ".join(result.stderr.split())


def test_what_is_refused_is_refused_before_anything_is_tried(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    assert "in the way" in refused("sample", tmp_path, "--out", tmp_path / "full")
    prepare = ("prepare", "avatars", "--out")
    assert "not a prepared data set" in refused(*prepare, tmp_path / "full")
    assert "outside 8..2048" in refused(*prepare, tmp_path / "new", "--size", 4)
    missing = refused("prepare", "image-folder", tmp_path / "nothing", "--out", tmp_path / "new")
    assert "does not exist" in missing
    photos = refused("prepare", "photos", tmp_path, "--out", tmp_path / "new")
    assert "only by doing all the work" in photos


@pytest.mark.parametrize(
    ("steps", "seconds", "compiling", "expected"),
    [
        (9000, 1300.0, "auto", True),
        (9000, 1300.0, "false", False),
        (9000, 60.0, "auto", False),
        (90, 1300.0, "auto", False),
    ],
)
def test_what_compiling_may_save_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    seconds: float,
    compiling: str,
    expected: bool,
) -> None:
    taken = Forecast("steps", steps, seconds, 10**8, 10**6, 12, 3.0)
    monkeypatch.setattr(dry_run, "training_forecast", lambda recipe, device: taken)
    recipe = denoising_recipe(write_latents(tmp_path / "latents")).model_dump(mode="json", exclude_none=True)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    words = ["train", "--config", str(tmp_path / "recipe.yaml"), "--set", f"training.compile={compiling}"]
    told = run(*words, "--device", "cpu", "--run", tmp_path / "run")
    assert told["tried_compiled"] is expected
    shown = CliRunner().invoke(app, [*words, "--device", "cpu", "--run", str(tmp_path / "run"), "--dry-run"])
    assert ("may shorten it" in shown.stderr) is expected
