"""Saves a checkpoint again and again, each time in a child that is SIGKILLed at another write step.

    python -m support.killed_saves FOLDER      prints one JSON line per kill

Fresh, single-threaded interpreter, so that forking is safe.
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

import torch

import facegen.formats.checkpoint as checkpoints
from facegen.formats.checkpoint_head import checkpoint_name, clean_leftovers
from facegen.progress import SilentProgress
from facegen.training.checkpointing import newest_whole_checkpoint

OPERATIONS = ("mkdir", "fsync", "rename", "replace", "link")


def save(run: Path, step: int) -> None:
    """A small checkpoint whose weights all equal its step, with a linked autoencoder."""
    checkpoints.save_checkpoint(
        run / "checkpoints" / checkpoint_name(step),
        checkpoints.CheckpointInfo(step, step, {"task": {"kind": "denoising"}}),
        {"model": {"w": torch.full((64,), float(step))}, "ema": {"w": torch.full((64,), float(step))}},
        {"step": step},
        run.parent / "autoencoder",
    )


def main(folder: Path) -> None:
    (folder / "autoencoder").mkdir()
    (folder / "autoencoder" / "config.json").write_text("{}")
    for point in range(1, 100):
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        save(run, 1)
        child = os.fork()
        if child == 0:
            kill_at(point)
            save(run, 2)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        print(json.dumps({"point": point, "killed": killed, **_what_stands(run)}))
        if not killed:
            return


def _what_stands(run: Path) -> dict[str, Any]:
    progress = SilentProgress()
    newest = newest_whole_checkpoint(run, progress)
    assert newest is not None
    weights = newest.weights("ema")["w"]
    left = clean_leftovers(run)
    return {
        "step": newest.info.step,
        "weights": weights.unique().tolist(),
        "warned": progress.warned,
        "leftovers": len(left),
        "entries": sorted(path.name for path in (run / "checkpoints").iterdir()),
    }


def kill_at(point: int) -> None:
    """Kill this process before its `point`th write operation; file writers are cut in the middle."""
    count = 0

    def reached() -> bool:
        nonlocal count
        count += 1
        return count == point

    def wrap(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if reached():
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return wrapped

    def wrap_writer(write: Callable[..., Any], position: int) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = write(*args, **kwargs)
            if reached():
                target = args[position]
                path = target if isinstance(target, Path) else Path(target.name)
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for name in OPERATIONS:
        setattr(os, name, wrap(getattr(os, name)))
    checkpoints.save_file = wrap_writer(checkpoints.save_file, 1)
    torch.save = wrap_writer(torch.save, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
