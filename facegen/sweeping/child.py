"""`facegen train` in a process of its own: what becomes of one run touches no other, nor the sweep.

Run as a program it is that command, and stops as on SIGTERM, with a checkpoint, when who started it is gone.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

LOOK_SECONDS = 1.0
GRACE_SECONDS = 60.0  # for the step, the check and the checkpoint that a stop waits for
TOLD_LINES = 3  # of an error
STOPPED_CODES = (130, 143)


class Training:
    """A run that is trained; its words go to the end of the file `log`."""

    def __init__(
        self, recipe: Path, run: Path, log: Path, device: str, threads: int, answer: Path | None = None
    ):
        log.parent.mkdir(parents=True, exist_ok=True)
        self._run = run
        self._log, self._from = log, log.stat().st_size if log.is_file() else 0
        words = ["train", "--config", str(recipe), "--run", str(run), "--resume", "auto", "--device", device]
        threads_of = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with log.open("ab") as talk, open(os.devnull if answer is None else answer, "wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facegen.sweeping.child", str(os.getpid()), *words, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=talk,
                env={**os.environ, **threads_of},
                start_new_session=True,  # Ctrl-C is for who started it, who stops it in turn
            )
        self._stop_at: float | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it goes on. One that does not stop when asked to is killed in the end."""
        if self._stop_at is not None and time.monotonic() > self._stop_at + GRACE_SECONDS:
            self._process.kill()
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to stop at the end of a step, with a checkpoint."""
        if self._stop_at is None and self._process.poll() is None:
            self._stop_at = time.monotonic()
            self._process.terminate()

    def why(self, code: int) -> str:
        """What it said of its failure."""
        said = self._log.read_bytes()[self._from :].decode("utf-8", errors="replace")
        return told_failure(code, said, self._run.parent, self._log)


def told_failure(code: int, said: str, place: Path, log: Path) -> str:
    """Why a command ended with `code` that `said` that, in a line; pages show it, so that what lies in
    `place` is named as seen from there."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    _, found, told = said.rpartition("Error: ")
    if not found or "This is a bug" in told:
        return f"ended with exit code {code}; its words are in '{log.parent.name}/{log.name}'"
    lines = told.replace(f"{place}{os.sep}", "").strip().splitlines()
    return " ".join(line.strip() for line in lines[:TOLD_LINES])


def _stop_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main(parent: int, words: list[str]) -> None:
    """The command of these words, no longer than the process `parent` lives."""
    threading.Thread(target=_stop_with, args=(parent,), daemon=True).start()
    sys.argv = ["facegen", *words]
    runpy.run_module("facegen", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
