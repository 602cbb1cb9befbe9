"""Is loading as fast and as small with a million latents as with ten thousand?

python benchmarks/many_latents.py OUT
python benchmarks/many_latents.py OUT --counts 10000 1000000 --size 16

Latents of noise, 4 channels of mean and log-variance in float16, with forty labels as CelebA has. Each count
is read by a process of its own: once from first to last, which maps the pages, and then in shuffled batches
of 64, as stored and as training draws them (posterior, noise, timestep and condition). Opening reads every
byte, as it compares checksums. Rates are by processor seconds, medians of five rounds. Memory is what the
process holds that is no file's, above that before it opened anything.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from facegen.bench.made_up import Network, recipe_of, write_latents
from facegen.draws import Draws
from facegen.formats.latents import LatentStore
from facegen.training.wiring import wire_task

NETWORK = Network("tiny", 64, 1, 2, 64)
ATTRIBUTES = tuple(f"Attribute_{number}" for number in range(40))
BATCH, ROUNDS, BATCHES = 64, 5, 100


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--size", type=int, default=16, help="cells a side")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(asked.out)))
        return
    print(
        "| latents | GB | open and first batch | first pass | as stored | as drawn | memory |\n"
        "|---|---|---|---|---|---|---|"
    )
    for count in asked.counts:
        folder = write_latents(asked.out / str(count), (4, asked.size, asked.size), count, ATTRIBUTES, 65_536)
        child = [sys.executable, __file__, str(folder), "--child"]
        told: dict[str, float] = json.loads(subprocess.run(child, capture_output=True, check=True).stdout)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e9
        rates = " | ".join(f"{told[name] / 1e3:,.1f} k/s" for name in ("pass", "stored", "drawn"))
        first = f"{1e3 * told['first']:.0f} ms"
        print(f"| {count:,} | {size:.2f} | {first} | {rates} | {told['memory'] / 1e6:.0f} MB |", flush=True)


def measured(folder: Path) -> dict[str, float]:
    """Seconds to the first batch, rates by processor seconds, and bytes of anonymous memory."""
    before, began = anonymous_bytes(), time.process_time()
    task: Any = wire_task(recipe_of(NETWORK, folder)).task
    task.batch(torch.arange(BATCH), Draws(0, torch.arange(BATCH)))
    first = time.process_time() - began
    split = LatentStore.open(folder).split("train")
    count, generator = task.num_examples, torch.Generator().manual_seed(0)

    def shuffled() -> list[Tensor]:
        return [torch.randint(0, count, (BATCH,), generator=generator) for _ in range(BATCHES)]

    began = time.process_time()
    for part in torch.arange(count).split(BATCH):
        split.stored(part)
    passed = count / (time.process_time() - began)

    def drawn(indices: Tensor) -> None:
        task.batch(indices, Draws(0, torch.arange(BATCH)))

    rates = {
        name: median(rate(read, shuffled()) for _ in range(ROUNDS))
        for name, read in (("stored", split.stored), ("drawn", drawn))
    }
    return {"first": first, "pass": passed, **rates, "memory": float(anonymous_bytes() - before)}


def rate(read: Callable[[Tensor], object], batches: list[Tensor]) -> float:
    """Latents a processor second."""
    began = time.process_time()
    for indices in batches:
        read(indices)
    return len(batches) * BATCH / (time.process_time() - began)


def anonymous_bytes() -> int:
    """Of Linux, which says so."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
