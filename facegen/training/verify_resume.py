"""Proof, on one's own recipe and machine, that a resumed run equals one that never stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.config.recipe import Recipe
from facegen.errors import FacegenError
from facegen.formats.checkpoint import Checkpoint, load_checkpoint
from facegen.formats.checkpoint_head import checkpoint_name
from facegen.formats.files import saving, scratch_folder
from facegen.formats.run import ENVIRONMENT_FILE, RECIPE_FILE, RunDirectory
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.train import train

STEPS = 6  # of which the last half is made once more, by another process
TOLERANCE = 1e-3  # of a tensor's largest number, on a GPU, where sums are not made in a fixed order
TIMINGS = ("images_per_second",)


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to. `difference` names the first thing that differs, None if nothing does."""

    steps: int
    resumed_after: int
    device: str
    compared: int
    difference: str | None
    largest: float  # difference of two numbers, relative to the largest one of their tensor
    tolerance: float

    @property
    def refusal(self) -> FacegenError | None:
        """The error of a run that is not resumed exactly, or not closely enough on a GPU."""
        if self.difference is None or self.largest <= self.tolerance:
            return None
        return FacegenError(
            f"Resuming is not exact here: {self.difference}.",
            hint="A task or kind of one's own has to draw its random numbers from what it is given, and keep "
            "its state in the module.",
        )

    def facts(self) -> dict[str, Any]:
        """Names and values for people."""
        verdict = "exact" if self.difference is None else "not exact"
        if self.difference is not None and self.refusal is None:
            verdict = f"equal within {self.tolerance:g} of each tensor's largest number, as a GPU sums"
        return {
            "Resuming": verdict,
            "Compared": f"{self.compared:,} weights, averages, optimizer states and logged losses",
            "Steps": f"{self.steps} at once; {self.resumed_after}, then {self.steps - self.resumed_after} "
            "by a process of its own",
            "Device": self.device,
            "First difference": self.difference,
        }

    def to_json(self) -> dict[str, Any]:
        return {"exact": self.difference is None, **asdict(self)}


def verify_resume(recipe: Recipe, folder: Path, progress: Progress, device: str = "auto") -> Verdict:
    """Train `recipe` some steps at once, and the last half of them again from the checkpoint before.

    The second half is made by a new process. Everything is done in a temporary folder in `folder`.

    Raises:
        FacegenError: as `train`; the new process failed, with what it said.
    """
    half, target = STEPS // 2, resolve_device(device)
    with saving(f"'{folder}'"), scratch_folder(folder / "verify-resume") as scratch:
        straight, resumed = scratch / "straight", scratch / "resumed"
        progress.say(f"Training {STEPS} steps at once.")
        train(_short(recipe, half), straight, progress=SilentProgress(), device=device)
        _copy_until(straight, resumed, half)
        progress.say(f"Resuming after step {half} in a process of its own.")
        _resume(resumed, device)
        pairs = list(_pairs(straight, resumed))
    tolerance = TOLERANCE if target.type == "cuda" else 0.0
    return _compared(pairs, half, str(target), tolerance)


def _short(recipe: Recipe, every: int) -> Recipe:
    changes = {
        "max_steps": STEPS,
        "epochs": None,
        "checkpoint_every_steps": every,
        "checkpoint_every_epochs": None,
        "validate_every_steps": STEPS,
        "preview_every_steps": None,
        "log_every_steps": 1,
        "keep_last": STEPS,
        "trackers": [],
    }
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def _copy_until(run: Path, copy: Path, step: int) -> None:
    """A run as it stood after `step`."""
    name = checkpoint_name(step)
    shutil.copytree(run / "checkpoints" / name, copy / "checkpoints" / name)
    for file in (RECIPE_FILE, ENVIRONMENT_FILE, "metrics.jsonl"):
        shutil.copy2(run / file, copy)
    RunDirectory(copy).truncate_metrics(step)


def _resume(run: Path, device: str) -> None:
    recipe = ("--config", str(run / "recipe.yaml"))  # names the kinds of one's own that may be imported
    words = ["train", "--run", str(run), *recipe, "--resume", "must", "--device", device, "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "facegen", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FacegenError(f"The process that resumes ended with {done.returncode}:\n{done.stderr.strip()}")


def _pairs(straight: Path, resumed: Path) -> Iterator[tuple[str, Any, Any]]:
    """Everything that is compared: its name, and its value in both runs."""
    one, other = (load_checkpoint(run, "latest") for run in (straight, resumed))
    a, b = _content(one), _content(other)
    yield "step", one.info.step, other.info.step
    for name in a.keys() | b.keys():
        yield name, a.get(name), b.get(name)
    logs = [[_untimed(record) for record in RunDirectory(run).metrics()] for run in (straight, resumed)]
    yield "number of log lines", len(logs[0]), len(logs[1])
    for first, second in zip(*logs, strict=False):
        for key, value in first.items():
            yield f"{first['group']} {key} of step {first['step']}", value, second.get(key)


def _content(checkpoint: Checkpoint) -> dict[str, Any]:
    weights = {f"weights {name}": value for name, value in checkpoint.weights("model").items()}
    if checkpoint.has_ema:
        weights |= {f"average {name}": value for name, value in checkpoint.weights("ema").items()}
    state = checkpoint.training_state()["optimizer"]["state"]
    moments = {
        f"optimizer {key} of parameter {number}": value
        for number, values in state.items()
        for key, value in values.items()
    }
    return {**weights, **moments}


def _untimed(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMINGS}


def _compared(pairs: list[tuple[str, Any, Any]], half: int, device: str, tolerance: float) -> Verdict:
    first, largest = None, 0.0
    for name, one, other in pairs:
        apart = _apart(one, other)
        if apart and first is None:
            first = f"{name} differs by {apart:.3g} of its largest number"
        largest = max(largest, apart)
    return Verdict(STEPS, half, device, len(pairs), first, largest, tolerance)


def _apart(one: Any, other: Any) -> float:
    """The largest difference relative to the largest number; infinite where there is nothing to subtract."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if torch.equal(one, other):
            return 0.0
        if one.shape != other.shape:
            return float("inf")
        one, other = one.double(), other.double()
        return float((one - other).abs().max() / one.abs().max().clamp_min(1e-30))
    if one == other:
        return 0.0
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) / max(abs(one), 1e-30)
    return float("inf")
