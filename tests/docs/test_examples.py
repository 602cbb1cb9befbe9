"""The examples run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_avatar_example_runs_in_its_smoke_size(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "avatars.py"), str(tmp_path / "out"), "--smoke"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "64 avatars" in result.stdout
    assert (tmp_path / "out" / "faces" / "grid.png").is_file()
