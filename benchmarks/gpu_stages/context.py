"""What a stage is given: its time, its size, its device, and where it records what it finds."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


class Skipped(Exception):
    """Why a stage, or a part of one, does not apply here."""


@dataclass
class Context:
    """One stage's surroundings. `ends` is the time of `time.monotonic` at which it is stopped.

    What is recorded stands in `file` at once, so that a stage that is stopped has not been for nothing.
    `out` is the folder of the results, `scratch` one for all stages that is removed in the end.
    """

    file: Path
    out: Path
    scratch: Path
    smoke: bool
    ends: float
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def left_seconds(self) -> float:
        return self.ends - time.monotonic()

    def record(self, name: str, value: Any) -> None:
        """Keep `value`, which is plain data, and say it."""
        self.results[name] = value
        self.write(status="begun")
        print(f"  {name}: {json.dumps(value)[:300]}", flush=True)

    def write(self, **told: Any) -> None:
        """Write everything so far, and how the stage stands."""
        hidden = self.file.with_suffix(".tmp")
        hidden.write_text(json.dumps({**told, "results": self.results}), encoding="utf-8")
        hidden.replace(self.file)

    def part(self, name: str, measure: Any, needs_seconds: float = 0.0) -> None:
        """Record what `measure()` returns; what goes wrong in it costs this part alone."""
        if self.left_seconds < needs_seconds:
            self.record(name, {"skipped": f"{self.left_seconds:.0f} s left, {needs_seconds:.0f} s wanted"})
            return
        try:
            self.record(name, measure())
        except Skipped as reason:
            self.record(name, {"skipped": str(reason)})
        except Exception as error:
            self.record(name, {"failed": f"{type(error).__name__}: {error}"[:1000]})
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def finished(device: torch.device) -> float:
    """The time, once the device has done everything it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
