"""Kills and full disks at random moments over all stages: the end is that of an undisturbed way (12, 41)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos.py"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "true"]


def chaos(out: Path, *words: str) -> str:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(out), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_random_moments_of_every_command_change_nothing(tmp_path: Path) -> None:
    told = chaos(tmp_path, "--only", "kills", "--kills", "15")
    assert "kills: 15 kills" in told
    assert "0 differences, 0 complaints" in told


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_disks_that_fill_up_at_random_moments_change_nothing(tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run(NAMESPACE, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    told = chaos(tmp_path, "--only", "full-disks", "both", "--full-disks", "10")
    assert told.count("10 full disks") == 2
    assert told.count("0 differences, 0 complaints") == 2
