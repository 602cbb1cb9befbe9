"""Processor, memory and graphics cards."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from facegen.doctor.card import Driver
from facegen.formats.disk import size_text

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine_facts(found: Mapping[str, Any], driver: Driver | None) -> dict[str, str]:
    """What this computer is; `found` is what the probe told."""
    cpu = described_processor()
    units = [flag for flag in FLAGS if flag in cpu.get("flags", "").split()]
    told = {
        "processor": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": f"{_usable_cores()} of {os.cpu_count()} for this process",
        "memory": _memory(),
        "cards": ", ".join(found.get("devices", [])) or ", ".join(driver.cards if driver else ()) or "none",
    }
    if units:
        told["units"] = ", ".join(units)
    if driver is not None:
        newest = "unknown" if driver.cuda is None else ".".join(map(str, driver.cuda))
        told["driver"] = f"{driver.version}, CUDA up to {newest}"
    return told


def precision_facts(found: Mapping[str, Any]) -> dict[str, str]:
    """How fast each precision is here, and what training takes."""
    speeds: Mapping[str, float | None] = found.get("speeds", {})
    told = {
        name: "cannot be done" if speed is None else f"{speed:,.0f} billion operations a second"
        for name, speed in speeds.items()
    }
    return told | ({"training takes": found["training"]} if "training" in found else {})


def described_processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is none."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").partition("\n\n")[0]
        rows = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in rows}
    return {}


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    with suppress(OSError, ValueError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * size
        return f"{size_text(pages * size)}, {size_text(free)} unused"
    return "unknown"
