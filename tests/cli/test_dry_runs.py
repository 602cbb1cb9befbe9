"""`--dry-run` tells time, memory and disk, writes nothing, and refuses what the command refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.generator_parts import save_run
from typer.testing import CliRunner

from facegen.cli.app import app

FIGURES = ("seconds", "memory_bytes", "disk_bytes")


def run(*line: object) -> dict[str, float]:
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
