"""An evaluation of many samples, killed on the way: is the score the same, and does its memory grow?

    python benchmarks/stream.py RUN REFERENCE --features classifier:JUDGE --kill-at 15000,37000

Runs `facegen eval fid` twice with a cache of its own each time: undisturbed, and killed (SIGKILL) as soon as
that many images are kept, then started again. Linux alone, which tells what memory a process holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegen.models.feature_stream import Stream


@dataclass
class Watched:
    """A command as it went: its score, its calls, and by images kept what it held of its own, in MB."""

    score: float
    calls: int
    seconds: float
    went_on_from: list[int]
    held_mb: dict[int, float] = field(default_factory=dict)


def watched(command: list[str], cache: Path, kill_at: list[int]) -> Watched:
    """Run `command`, killed whenever the next number of `kill_at` images is kept, until it ends."""
    started, ends, held, went_on = time.monotonic(), [*kill_at], dict[int, float](), list[int]()
    for calls in range(1, len(kill_at) + 2):
        process = subprocess.Popen(
            command, env={**os.environ, "FACEGEN_CACHE": str(cache)}, stdout=subprocess.PIPE, text=True
        )
        went_on.append(kept_images(cache))
        while process.poll() is None:
            kept = kept_images(cache)
            if kept:
                held[kept] = held_mb(process.pid) or held.get(kept, 0.0)
            if ends and kept >= ends[0]:
                process.kill()
                ends.pop(0)
                break
            time.sleep(0.05)
        output, _ = process.communicate()
        if process.returncode == 0:
            score = json.loads(output)["scores"]["fid"]["value"]
            return Watched(score, calls, time.monotonic() - started, went_on[1:], held)
        if process.returncode > 0:
            raise SystemExit(f"failed with exit code {process.returncode}")
    raise SystemExit("it was killed more often than it was started")


def kept_images(cache: Path) -> int:
    """How many images the stream in this cache holds."""
    return max((Stream(folder).length for folder in cache.glob("features/*.parts")), default=0)


def held_mb(pid: int) -> float | None:
    """Memory that the process holds and no file backs; None where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), None)


def measure(
    run: Path, reference: Path, features: str, num_samples: int, kill_at: list[int]
) -> dict[str, Any]:
    """Both ways, and how they differ."""
    command = [sys.executable, "-m", "facegen", "eval", "fid", str(run), "--reference", str(reference)]
    command += [
        "--features",
        features,
        "--num-samples",
        str(num_samples),
        "--device",
        "cpu",
        "--quiet",
        "--json",
    ]
    with tempfile.TemporaryDirectory(prefix="facegen-stream-") as folder:
        whole = watched(command, Path(folder) / "whole", [])
        killed = watched(command, Path(folder) / "killed", kill_at)
    kept = sorted(whole.held_mb)
    shown = {count: round(whole.held_mb[count]) for count in kept[:: max(1, len(kept) // 8)]}
    return {
        "undisturbed": whole.score,
        "killed": killed.score,
        "same": whole.score == killed.score,
        "calls": killed.calls,
        "went_on_from": killed.went_on_from,
        "seconds": [round(whole.seconds), round(killed.seconds)],
        "held_mb_by_images": shown,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--features", required=True)
    parser.add_argument("--num-samples", type=int, default=50_000)
    parser.add_argument("--kill-at", default="15000,37000")
    asked = parser.parse_args()
    ends = [int(part) for part in asked.kill_at.split(",")]
    print(json.dumps(measure(asked.run, asked.reference, asked.features, asked.num_samples, ends), indent=2))


if __name__ == "__main__":
    main()
