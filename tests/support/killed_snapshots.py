"""Writes a snapshot again and again, each time in a child that is SIGKILLed at another write step.

    python -m support.killed_snapshots FOLDER      prints one JSON line per kill

Fresh, single-threaded interpreter, so that forking is safe.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from support.killed_saves import kill_at

from facegen.formats.ema_snapshots import EmaSnapshots, tensor_name


def write(run: Path, step: int) -> None:
    """A snapshot whose averages all equal its step."""
    EmaSnapshots(run).write(step, step, {0.05: {"w": torch.full((64,), float(step))}}, {})


def main(folder: Path) -> None:
    for point in range(1, 100):
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        write(run, 1)
        child = os.fork()
        if child == 0:
            kill_at(point)
            write(run, 2)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        snapshots = EmaSnapshots(run)
        with snapshots.opened(snapshots.all()) as files:
            values = [file.get_tensor(tensor_name(0.05, "w")).unique().tolist() for file in files]
        snapshots.drop_after(2)
        entries = sorted(path.name for path in snapshots.folder.iterdir())
        print(json.dumps({"killed": killed, "values": values, "entries": entries}))
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
