"""Processor, memory and graphics cards."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from facegen.doctor.card import Driver
from facegen.doctor.diagnosis import Problem
from facegen.formats.disk import size_text
from facegen.pool import usable_cores

CGROUPS = Path("/sys/fs/cgroup")
OF_THIS_PROCESS = Path("/proc/self/cgroup")
WORTH_USING = 1.2  # times as fast as fp32
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine_facts(found: Mapping[str, Any], driver: Driver | None) -> dict[str, str]:
    """What this computer is; `found` is what the probe told."""
    cpu = described_processor()
    units = [flag for flag in FLAGS if flag in cpu.get("flags", "").split()]
    told = {
        "processor": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": _cores(),
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
    if full := speeds.get("fp32"):
        ratios = {name: (speed or 0) / full for name, speed in speeds.items() if name != "fp32"}
        worth = [
            f"{name}, {ratio:.1f} times as fast as fp32"
            for name, ratio in ratios.items()
            if ratio >= WORTH_USING
        ]
        told["worth using"] = "; ".join(worth) or "fp32: none of the others is faster here"
    return told | ({"training takes": found["training"]} if "training" in found else {})


def thread_problems() -> Iterator[Problem]:
    """More threads than there are cores for them."""
    asked, given = os.environ.get("OMP_NUM_THREADS", ""), _cpu_quota()
    cores = min(usable_cores(), given or math.inf)
    threads = int(asked) if asked.isdecimal() else usable_cores()
    if threads > math.ceil(cores):
        told = f"{threads} threads share {cores:g} cores, which slows each operation down."
        yield Problem("threads", "hinders", told, f"export OMP_NUM_THREADS={math.ceil(cores)}")


def described_processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is none."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").partition("\n\n")[0]
        rows = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in rows}
    return {}


def _cores() -> str:
    quota = _cpu_quota()
    limited = f", limited to the time of {quota:g}" if quota is not None and quota < usable_cores() else ""
    return f"{usable_cores()} of {os.cpu_count()} for this process{limited}"


def _memory() -> str:
    with suppress(OSError, ValueError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * size
        limit = _limit("memory.max")
        limited = f", limited to {size_text(int(limit))}" if limit and int(limit) < pages * size else ""
        return f"{size_text(pages * size)}, {size_text(free)} unused{limited}"
    return "unknown"


def _cpu_quota() -> float | None:
    """How many cores' time a container or session gets; None where it is not limited."""
    told = (_limit("cpu.max") or "").split()
    return round(int(told[0]) / int(told[1]), 2) if len(told) == 2 else None


def _limit(name: str) -> str | None:
    """A limit of the control group (version 2) of this process; None where there is none.

    In a container its own group is the root.
    """
    with suppress(OSError):
        group = OF_THIS_PROCESS.read_text("utf-8").strip().rpartition("::/")[2].split("\n")[0]
        for folder in (CGROUPS / group, CGROUPS):
            with suppress(OSError):
                told = (folder / name).read_text("utf-8").strip()
                return None if told.startswith("max") else told
    return None
