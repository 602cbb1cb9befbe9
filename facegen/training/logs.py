"""What a run writes down while it trains: loss windows, metrics.jsonl and what trackers show of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

try:
    import resource
except ImportError:  # Windows
    resource = None

from facegen.config.recipe import Recipe
from facegen.formats.run import RunDirectory
from facegen.processes import World
from facegen.training.trackers import TensorBoard, Tracked


class LossWindow:
    """Means of the losses since the last log line, summed up as tensors so that no step waits for them.

    Each of several processes adds its own; all of them ask for means and state together.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sums: dict[str, Tensor] = {}  # per loss: its total (), and how many steps had it (): (2,)

    def add(self, losses: Mapping[str, Tensor], skipped: Tensor) -> None:
        """Add one step's losses, unless it was `skipped` (1 or 0)."""
        good = 1 - skipped
        for name, value in losses.items():
            pair = torch.stack([torch.where(good > 0, value, torch.zeros_like(value)), good.to(value.dtype)])
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def means(self) -> dict[str, float]:
        """Mean of each loss over the steps of the window that had it; those of skipped steps are left out."""
        pairs = {name: total.tolist() for name, total in self._shared().items()}
        return {name: total / steps for name, (total, steps) in pairs.items() if steps}

    def own(self, name: str) -> float | None:
        """Mean of one loss over the steps of this process alone."""
        total, steps = self._sums[name].tolist() if name in self._sums else (0.0, 0.0)
        return total / steps if steps else None

    def clear(self) -> None:
        self._sums = {}

    def state(self) -> dict[str, Any]:
        return {"sums": {name: total.cpu() for name, total in self._shared().items()}}

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        steps, sums = state.get("steps"), state["sums"]
        if steps is not None:  # runs begun before both were kept as one, or before losses were counted apart
            counts = dict.fromkeys(sums, steps) if isinstance(steps, int) else steps
            sums = {name: torch.stack([sums[name], sums[name].new_tensor(counts[name])]) for name in sums}
        self._sums = {name: total.to(device) for name, total in sums.items()}

    def _shared(self) -> dict[str, Tensor]:
        if not self._world.is_many or not self._sums:
            return self._sums
        means = self._world.mean(torch.stack(list(self._sums.values())))
        return dict(zip(self._sums, means, strict=True))


class TrainingLog:
    """Writes each record to metrics.jsonl, which is the truth, and hands its numbers to the trackers.

    Raises:
        UsageError: a tracker does not let us in.
    """

    def __init__(self, run: RunDirectory, recipe: Recipe) -> None:
        self._run = run
        self._trackers = [
            TensorBoard(run) if name == "tensorboard" else Tracked(name, run, recipe)
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

    def show_preview(self, step: int) -> None:
        """Hand the trackers that show pictures what was drawn after `step`, if it was kept."""
        picture = self._run.sample_file(step)
        for tracker in self._trackers:
            if isinstance(tracker, Tracked) and picture.is_file():
                tracker.show(step, picture)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()


def memory_text(device: torch.device) -> str:
    """Peak memory of the process, or of its accelerator, e.g. "1.2 GB"; "?" where the system keeps none."""
    if device.type in ("cuda", "xpu"):  # MPS shares the machine's and keeps no peak
        used_bytes = torch.accelerator.max_memory_allocated(device)
    elif resource is None:
        return "?"
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
        used_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{used_bytes / 1e9:.1f} GB"


def duration_text(seconds: float) -> str:
    """Hours, minutes and seconds, e.g. "1:02:03" or "2:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
