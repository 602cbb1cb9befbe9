"""What a step is made of on the device: how many kernels, which ones, and how much of the time one runs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from gpu_stages.context import finished

ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of events in a trace
GROUPS = {  # by what a kernel's name contains, the first that fits
    "attention": r"flash|fmha|attention|sdpa",
    "matrix products": r"gemm|nvjet|cutlass|cublas|wgmma|splitk|gemv",
    "optimizer, averages, gradient norm": r"multi_tensor|adam|foreach",
    "fused by the compiler": r"triton",
    "copies and fills": r"memcpy|memset|copy|fill",
    "normalisation": r"norm",
    "sums": r"reduce",
    "elementwise": r"elementwise|vectorized",
}
NAME_LENGTH = 60


def profiled(step: Callable[[], None], steps: int, device: torch.device, trace: Path) -> dict[str, Any]:
    """Run `step` some times under torch's profiler, and sum up its trace."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
        finished(device)
    profiler.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    trace.unlink()
    return summed_up(events, steps)


def summed_up(events: Iterable[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """Launches and milliseconds a step, shares of the kernels' time by group, and the longest kernels.

    `busy_share` is the share of the time from the first kernel to the end of the last in which one ran.
    """
    found = [event for event in events if event.get("cat") in ON_DEVICE and "dur" in event]
    if not found:
        return {"launches_per_step": 0}
    groups, names = Counter[str](), Counter[str]()
    for event in found:
        groups[_group(event["name"])] += event["dur"]
        names[event["name"][:NAME_LENGTH]] += event["dur"]
    total = sum(groups.values())
    spans = sorted((event["ts"], event["ts"] + event["dur"]) for event in found)
    whole = max(end for _, end in spans) - spans[0][0]
    return {
        "launches_per_step": len(found) / steps,
        "kernel_ms_per_step": total / steps / 1e3,
        "busy_share": _covered(spans) / whole if whole else 1.0,
        "shares": {name: time / total for name, time in groups.most_common()},
        "longest_ms_per_step": {name: time / steps / 1e3 for name, time in names.most_common(10)},
    }


def _group(name: str) -> str:
    fitting = (group for group, words in GROUPS.items() if re.search(words, name, re.IGNORECASE))
    return next(fitting, "other")


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of sorted spans."""
    covered, reached = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
