"""The sixth system of examples/: data, conditioner, denoiser and metric from outside, by its README."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_lines import commands_in, parse_command_line

from facegen.sampling.png_settings import read_image_settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "sixth_system"
SMALLER = {"--count 2000": "--count 24 --splits 0.5,0.5,0 --workers 1", "--num-samples 64": "--num-samples 4"}
RUNNER = """
import shlex, sys
from facegen.cli.app import app
for line in sys.argv[1:]:
    app(shlex.split(line)[1:], standalone_mode=False)
"""


def commands() -> list[str]:
    """The README's `facegen` lines, made small."""
    lines = commands_in((EXAMPLE / "README.md").read_text("utf-8"))
    for large, small in SMALLER.items():
        assert any(large in line for line in lines), large
        lines = [line.replace(large, small) for line in lines]
    lines = [line.replace("mood 0.8", "mood 0.8, happy") for line in lines]
    return [line + " --size smoke" if line.startswith("facegen train") else line for line in lines]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which another process, with nothing but PYTHONPATH, ran the README's commands."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, "PYTHONPATH": "examples", "FACEGEN_ALLOW_OUTSIDE_CODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, *commands()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout, "utf-8")
    (folder / "stderr.txt").write_text(result.stderr, "utf-8")
    return folder


def test_the_readme_goes_through_train_sample_and_eval() -> None:
    words = [parse_command_line(line)[0] for line in commands()]
    assert words == ["prepare", "train", "sample", "plot interpolation", "eval metric"]
    assert "export PYTHONPATH=examples FACEGEN_ALLOW_OUTSIDE_CODE=1" in (EXAMPLE / "README.md").read_text(
        "utf-8"
    )


def test_a_denoiser_from_outside_is_trained_and_sampled(made: Path) -> None:
    recipe = (made / "run" / "recipe.yaml").read_text("utf-8")
    assert "kind: sixth_system.networks:TinyConvNet" in recipe
    assert len(list((made / "faces").glob("seed-*.png"))) == 8


def test_a_data_set_from_outside_is_prepared_and_its_number_asked_for(made: Path) -> None:
    manifest = json.loads((made / "data" / "dataset.json").read_text("utf-8"))
    assert manifest["kind"] == "sixth_system.datasets:Moods"
    assert "mood" in manifest["extras"]
    assert "kind: sixth_system.conditioners:NumberConditioner" in (made / "run" / "recipe.yaml").read_text(
        "utf-8"
    )
    told = read_image_settings(next((made / "faces").glob("seed-*.png")))
    assert told.labels == {"mood": 0.8}
    assert "'happy'. This model was trained on the number 'mood'." in (made / "stderr.txt").read_text("utf-8")
    assert (made / "moods.png").stat().st_size > 5000


def test_a_metric_from_outside_judges_and_is_kept(made: Path) -> None:
    (path,) = (made / "run" / "evaluations").glob("metric-ColourDistance-*.json")
    report = json.loads(path.read_text("utf-8"))
    assert report["metric"] == "sixth_system.metrics:ColourDistance"
    assert report["generated"]["colour_distance"] > report["real"]["colour_distance"] >= 0
    assert "colour distance" in (made / "stdout.txt").read_text("utf-8")


def test_nothing_of_the_sixth_system_is_in_the_package() -> None:
    for path in (ROOT / "facegen").rglob("*.py"):
        assert "sixth_system." not in path.read_text("utf-8"), path
