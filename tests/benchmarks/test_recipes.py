"""The benches of recipes in their smoke sizes, so that they run the first time there is a GPU for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def printed(script: str, *words: str | Path) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, words), "--smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_recipes_are_trained_judged_and_not_twice(tmp_path: Path) -> None:
    names = ("flow-dit", "flow-dit-few", "peer-ddpm-pytorch")
    printed("recipes.py", tmp_path, "--only", names[0])
    told = printed("recipes.py", tmp_path, "--only", *names)
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(results) == ["settings", *names]
    assert [row["guidance"] for row in results["flow-dit"]["scores"]] == [1.0, 1.5, 2.0]
    assert "attributes" in results["flow-dit"]["scores"][0]
    for name in names:
        for row in results[name]["scores"]:
            distance = row["classifier"]
            assert distance["excess"] == distance["fid"] - distance["floor"]
            assert 0 <= row["memorization"]["share"] <= 1
    assert told.count("validation loss") == 1  # the peer's; the first was there already
    assert [row["steps"] for row in results["flow-dit-few"]["scores"]] == [1, 2, 4, 8, 16]
    assert "| 1.5 | 20 |" in told


def test_the_recipe_for_a_gpu_goes_from_pictures_to_a_page(tmp_path: Path) -> None:
    told = printed("gpu_recipe.py", tmp_path)
    written = (tmp_path / "recipe.md").read_text(encoding="utf-8")
    assert written.strip() in told
    assert "| efficientnet-lite0 |" in written
    results = json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))
    assert results["flops_per_image"] > 0
    assert [point["step"] for point in results["curve"]] == [4]
