"""The tests that need a GPU, and what they measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu_stages.context import Context, Skipped

ROOT = Path(__file__).resolve().parents[2]
SAVED_SECONDS = 3.0  # to read what was printed until then
ONE_TEST_SECONDS = 120


def gpu_tests(context: Context) -> None:
    """Run `pytest -m gpu`; in smoke size the tests are only collected.

    All of them are in tests/gpu: other test modules need packages that a borrowed machine may lack.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-n", "0", "-p", "no:cacheprovider"]
    command += ["-s", "-rfEs", "-W", "default"]
    if context.smoke:
        command.append("--collect-only")
    else:
        command.append(f"--timeout={ONE_TEST_SECONDS}")
    log = context.out / "gpu_tests.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            code = process.wait(context.left_seconds - SAVED_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = None
    found = told(log.read_text(errors="replace"), code)
    context.record("pytest", found)
    if code != 0:
        raise RuntimeError(f"pytest: {found['closing_line']} (all of it: {log})")
    if context.smoke:
        raise Skipped("smoke: the tests were collected, not run")


def told(output: str, code: int | None) -> dict[str, Any]:
    """The closing line, what tests measured, and what failed or was skipped, of pytest's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return {
        "exit_code": code,
        "closing_line": lines[-1] if lines and code is not None else "stopped: no time left",
        "measured": [line.removeprefix("measured: ") for line in lines if line.startswith("measured: ")],
        "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))],
        "skipped": [line for line in lines if line.startswith("SKIPPED")],
    }
