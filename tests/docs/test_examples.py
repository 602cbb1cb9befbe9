"""The examples run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import facegen
from facegen.formats.files import sha256_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_avatar_example_runs_in_its_smoke_size(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "avatars.py"), str(tmp_path / "out"), "--smoke"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "64 avatars" in result.stdout
    assert (tmp_path / "out" / "faces" / "grid.png").is_file()


@pytest.mark.slow
def test_the_model_in_the_box_is_made_and_packed_in_its_smoke_size(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "box.py"), str(tmp_path / "out"), "--smoke"]
    for _ in range(2):  # the second goes on with what the first has trained
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    packed = tmp_path / "out" / "box"
    told = json.loads((packed / "box.json").read_text(encoding="utf-8"))
    for name, expected in told["files"].items():
        assert sha256_of(packed / name) == expected
    assert list(told["made"]["runs"]) == ["autoencoder", "classifier", "generator", "decoder"]
    weights = load_file(next(packed.glob("checkpoints/*/ema.safetensors")))
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert facegen.load(packed).sample("smiling", count=2).images.shape == (2, 3, 32, 32)
