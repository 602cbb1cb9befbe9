"""Several processes of one `facegen` command, as a launcher such as torchrun starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).parents[2]


class Processes:
    """Context with `count` processes of `python -m facegen ARGUMENTS`, by rank in `processes`; of another
    `program` where one is given.

    Each computes with one thread. Whatever still runs when the context ends is killed.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        count: int,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        program: Sequence[str] = ("-m", "facegen"),
    ) -> None:
        self._program = program
        self.arguments = [str(argument) for argument in arguments]
        self.count = count
        self.processes: list[subprocess.Popen[str]] = []
        self._env = {**os.environ, "OMP_NUM_THREADS": "1", **_paths(), **(env or {})}
        self._cwd = cwd

    def __enter__(self) -> Processes:
        port = str(free_port())
        for rank in range(self.count):
            launched = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(self.count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, *self._program, *self.arguments],
                    env={**self._env, **launched},
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def wait(self, timeout: float = 120) -> list[subprocess.CompletedProcess[str]]:
        """What each ended with and printed; `subprocess.TimeoutExpired` if one runs on after `timeout`."""
        deadline = time.monotonic() + timeout
        ended = []
        for process in self.processes:
            out, told = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            ended.append(subprocess.CompletedProcess(process.args, process.returncode, out, told))
        return ended


def run_processes(
    arguments: Sequence[str | Path],
    count: int,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
) -> list[subprocess.CompletedProcess[str]]:
    """Start `count` processes of `facegen ARGUMENTS` and wait; what each ended with and printed, by rank."""
    with Processes(arguments, count, env=env, cwd=cwd) as started:
        return started.wait(timeout)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _paths() -> dict[str, str]:
    """Where children find the package, whatever folder they start in."""
    return {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])}
