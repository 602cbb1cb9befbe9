"""What a run writes down while it trains: loss windows, metrics.jsonl and what trackers show of it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from facegen.config.recipe import Recipe
from facegen.formats.run import RunDirectory
from facegen.training.trackers import TensorBoard, WeightsAndBiases


class LossWindow:
    """Means of the losses since the last log line, summed up as tensors so that no step waits for them."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}  # per loss: a phase of the run may bring new ones

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add one step's losses."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._steps[name] = self._steps.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean of each loss over the steps of the window that had it; empty if every step was skipped."""
        return {name: float(total) / self._steps[name] for name, total in self._sums.items()}

    def clear(self) -> None:
        self._sums, self._steps = {}, {}

    def state(self) -> dict[str, Any]:
        return {"sums": {name: total.cpu() for name, total in self._sums.items()}, "steps": dict(self._steps)}

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        self._sums = {name: total.to(device) for name, total in state["sums"].items()}
        steps = state["steps"]  # one number for all in runs begun before losses were counted apart
        self._steps = dict.fromkeys(self._sums, steps) if isinstance(steps, int) else dict(steps)


class TrainingLog:
    """Writes each record to metrics.jsonl, which is the truth, and hands its numbers to the trackers.

    Raises:
        UsageError: W&B does not let us in.
    """

    def __init__(self, run: RunDirectory, recipe: Recipe) -> None:
        self._run = run
        self._trackers = [
            TensorBoard(run) if name == "tensorboard" else WeightsAndBiases(run, recipe)
            for name in dict.fromkeys(recipe.training.trackers)
        ]

    def write(self, step: int, group: str, values: Mapping[str, Any]) -> None:
        """Log `values` of `group` ("train" or "validation") after step `step`."""
        self._run.append_metrics({"step": step, "group": group, **values})
        numbers = {
            f"{group}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for tracker in self._trackers:
            tracker.write(step, numbers)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


def memory_text(device: torch.device) -> str:
    """Peak memory of the process, or of its CUDA device, e.g. "1.2 GB"."""
    if device.type == "cuda":
        used_bytes = torch.cuda.max_memory_allocated(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
        used_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{used_bytes / 1e9:.1f} GB"


def duration_text(seconds: float) -> str:
    """Hours, minutes and seconds, e.g. "1:02:03" or "2:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
