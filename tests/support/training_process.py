"""Training in a process of its own, to be killed, signalled or met by another one.

Children come from multiprocessing's fork server, which has imported everything once.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from support.training_parts import denoising_recipe

from facegen.errors import FacegenError
from facegen.tasks.denoising import DenoisingTask
from facegen.training.train import train

ENDLESS = 1_000_000


def start_training(
    latents: Path, run: Path, errors: Path, *, slow_step_seconds: float = 0.0
) -> ForkServerProcess:
    """Start an endless training that saves only when stopped; `errors` gets the message it ends with."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.training_process"])
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # where the server finds what to preload
    process = context.Process(target=_train, args=(latents, run, errors, slow_step_seconds))
    process.start()
    return process


def wait_for(condition: object, process: ForkServerProcess) -> None:
    """Wait until `condition()` holds; fails if the process ends before."""
    while not condition():  # type: ignore[operator]
        assert process.is_alive(), f"training ended early with {process.exitcode}"
        time.sleep(0.01)


def _train(latents: Path, run: Path, errors: Path, slow_step_seconds: float) -> None:
    if slow_step_seconds:
        _slow_down(run, slow_step_seconds)
    try:
        rarely = dict.fromkeys(("max_steps", "validate_every_steps", "checkpoint_every_steps"), ENDLESS)
        train(denoising_recipe(latents, log_every_steps=1, **rarely), run)
    except FacegenError as error:
        errors.write_text(str(error), encoding="utf-8")
        sys.stdout.flush()
        os._exit(error.exit_code)


def _slow_down(run: Path, seconds: float) -> None:
    plain = DenoisingTask.losses

    def slow(self, module, batch):  # type: ignore[no-untyped-def]
        (run / "in-a-step").touch()
        time.sleep(seconds)
        return plain(self, module, batch)

    DenoisingTask.losses = slow  # type: ignore[method-assign]
