"""How fast a recipe trains here, with how many threads and compiled or not: what stages are fitted to.

Small batches gain little from a second thread, and beside another busy process lose by it, because threads
wait for each other after every operation; what compiling gains depends on network and machine. So it is
measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegen.config.composition import merge
from facegen.config.recipe import Recipe, parse_recipe
from facegen.formats.run import RunDirectory
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.training.compiling import WORTH_TRYING_SECONDS
from facegen.training.train import train

TRIAL_STEPS, TRIAL_EXAMPLES = 24, 8
CHECKS = 4  # of a run that is fitted to a time: validations, and checkpoints with them
CHECKED_EXAMPLES = 128
PREVIEWS = 3
AVERAGED_SHARE = 1 / 8  # of its steps that the averaged weights reach back


@dataclass(frozen=True)
class Speed:
    """The fastest number of threads tried, and the steps a second it reached; whether `compiled`."""

    threads: int
    steps_per_second: float
    compiled: bool = False


def measure_speed(recipe: Recipe, folder: Path, seconds: float = 0.0) -> Speed:
    """Train `recipe` for a few steps with one thread and with all, in a scratch folder under `folder`.

    Where the training will take `seconds` on a CPU, and that is long enough to compile for, compiled too. On
    other devices a long training finds that out by itself.
    """
    speeds = list[Speed]()
    for threads in sorted({1, torch.get_num_threads()}):
        with num_threads(threads):
            speeds.append(Speed(threads, _steps_per_second(recipe, folder)))
    best = max(speeds, key=_rate)
    if seconds < WORTH_TRYING_SECONDS["cpu"] or resolve_device("auto").type != "cpu":
        return best
    try:
        with num_threads(best.threads):
            rate = _steps_per_second(with_training(recipe, compile=True), folder)
    except Exception:  # whatever a compiler may raise; where it is missing, that too
        return best
    return max(best, Speed(best.threads, rate, compiled=True), key=_rate)


def _rate(speed: Speed) -> float:
    return speed.steps_per_second


@contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_training(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with other values in its training section."""
    return parse_recipe(merge(recipe.model_dump(mode="json"), {"training": changes}))


def with_length(recipe: Recipe, steps: int) -> Recipe:
    """The recipe for as many steps: it warms up for a tenth at most, and averages over an eighth at most."""
    every = dict.fromkeys(("validate_every_steps", "checkpoint_every_steps"), -(-steps // CHECKS))
    previews = None if recipe.training.preview_every_steps is None else -(-steps // PREVIEWS)
    fitted = with_training(recipe, max_steps=steps, preview_every_steps=previews, **every)
    diffuses = recipe.denoiser is not None
    changes: dict[str, Any] = {
        "task": {"validation_examples": CHECKED_EXAMPLES} if diffuses else {},
        "optimizer": {"warmup_steps": min(recipe.optimizer.warmup_steps, steps // 10)},
        "ema": {"decay": min(recipe.ema.decay, max(0.5, 1 - 1 / (AVERAGED_SHARE * steps)))},
    }
    return parse_recipe(merge(fitted.model_dump(mode="json"), changes))


def trial_of(recipe: Recipe, steps: int) -> Recipe:
    """The recipe for a few steps, whose check at the end looks at next to nothing."""
    trial = with_training(
        recipe,
        max_steps=steps,
        log_every_steps=max(1, steps // 2),
        validate_every_steps=steps,
        checkpoint_every_steps=steps,
        preview_every_steps=None,
    )
    if recipe.denoiser is None:
        return trial
    return trial.model_copy(update={"task": {**trial.task, "validation_examples": TRIAL_EXAMPLES}})


def _steps_per_second(recipe: Recipe, folder: Path) -> float:
    """Rate of the second half of a trial; the first half pays for warming up."""
    trial = trial_of(recipe, TRIAL_STEPS)
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=folder) as scratch:
        run = RunDirectory(Path(scratch) / "run")
        train(trial, run.path, progress=SilentProgress())
        return steps_per_second(run, TRIAL_STEPS)


def steps_per_second(run: RunDirectory, steps: int) -> float:
    """Rate of the second half of `steps`, of a run that logged after each half."""
    logged = [row for row in run.metrics() if row["group"] == "train"]
    half, end = (row["images_seen"] / row["images_per_second"] for row in logged)  # seconds of training
    return (steps // 2) / max(end - half, 1e-6)
