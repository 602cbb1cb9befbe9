"""Renews latents again and again, each time in a child that is SIGKILLed at another write step.

    python -m support.killed_encodes FOLDER NEW FIRST      prints one JSON line per kill

FOLDER has latents; each child gets a copy of them and renews it from the data set NEW. Killed at step FIRST,
FIRST + 2 and so on. A fresh, single-threaded interpreter, so that forking is safe.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.changing_data import OPTIONS

from facegen.encoding.encode import encode
from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentStore
from facegen.progress import SilentProgress

OPERATIONS = ("replace", "unlink")


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def main(latents: Path, new: Path, first: int) -> None:
    for point in range(first, 200, 2):
        out = latents.with_name("renewed")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(latents, out)
        killed = _in_a_child(lambda out=out, point=point: (_kill_at(point), _renew(new, out)))
        between = LatentStore.open(out, verify=True).index
        _in_a_child(lambda out=out: _renew(new, out))
        told = {"point": point, "killed": killed, "index": between.to_json()["dataset_fingerprint"]}
        print(json.dumps({**told, "contents": contents(out)}))
        if not killed:
            return


def _renew(data: Path, out: Path) -> None:
    encode(data, "identity", out, OPTIONS, SilentProgress())


def _in_a_child(work: Callable[[], Any]) -> bool:
    """Do it in a fork; True if that was killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _kill_at(point: int) -> None:
    """Kill this process before its `point`th write operation."""
    count = 0

    def wrap(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return wrapped

    for name in OPERATIONS:
        setattr(os, name, wrap(getattr(os, name)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
