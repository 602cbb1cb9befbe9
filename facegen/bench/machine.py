"""What the numbers are of: this computer, the versions, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform

import facegen
from facegen.bench.result import Machine
from facegen.doctor.machine import described_processor
from facegen.doctor.wheels import installed_version
from facegen.pool import usable_cores

MEASURED = (
    "torch",
    "numpy",
    "pillow",
    "diffusers",
    "accelerate",
    "torch-fidelity",
    "clean-fid",
    "safetensors",
)


def this_machine() -> Machine:
    """The processor, its cores and memory, cards, and how many threads torch takes."""
    import torch

    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Machine(
        processor=described_processor().get("model name", platform.processor() or platform.machine()),
        cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        cards=tuple(cards),
        threads=torch.get_num_threads(),
    )


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def programs_waiting() -> float | None:
    """How many programs wanted a core in the last minute, itself among them; None where nobody says so."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def versions() -> dict[str, str]:
    """Of facegen, Python and the libraries that are measured; those that are installed."""
    found = {name: installed_version(name) for name in MEASURED}
    return {
        "facegen": facegen.__version__,
        "python": platform.python_version(),
        **{name: version for name, version in found.items() if version is not None},
    }
