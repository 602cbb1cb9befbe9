"""Which card this is, with which software, and how fast it multiplies."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from gpu_stages.context import Context, Skipped, finished

# Dense bf16 with fp32 sums, TFLOP/s, from the makers' data sheets. The first name that fits counts.
DATA_SHEET_TFLOPS = {
    "H100 PCIe": 756,
    "H100": 989,
    "H200": 989,
    "A100": 312,
    "L40S": 362,
    "RTX 4090": 165,
}
ASKED_OF_NVIDIA_SMI = "driver_version,power.limit,clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu"


def environment(context: Context) -> None:
    """Names, versions, and the rate of a large bf16 product, which stands beside the data sheet's."""
    device = context.device
    context.record("device", describe(device))
    if device.type == "cpu" and not context.smoke:
        raise Skipped("there is no CUDA device here")
    context.record("software", versions())
    context.record("nvidia_smi", nvidia_smi())
    context.part("bf16_matmul_tflops", lambda: matmul_tflops(device, size=256 if context.smoke else 8192))


def describe(device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return {
            "type": "cuda",
            "name": card.name,
            "memory_bytes": card.total_memory,
            "multiprocessors": card.multi_processor_count,
            "capability": f"{card.major}.{card.minor}",
            "data_sheet_tflops": next((v for k, v in DATA_SHEET_TFLOPS.items() if k in card.name), None),
            "cpu_cores": os.cpu_count(),
        }
    return {"type": "cpu", "name": cpu_name(), "data_sheet_tflops": None, "cpu_cores": os.cpu_count()}


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "CPU")


def versions() -> dict[str, Any]:
    import facegen

    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    return {
        "facegen": facegen.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": cudnn,
        "kernel": platform.release(),
    }


def nvidia_smi() -> dict[str, str] | None:
    """What the card says of itself; it is asked, never set."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={ASKED_OF_NVIDIA_SMI}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        return {"failed": (done.stdout + done.stderr).strip()[:300]}
    values = done.stdout.splitlines()[0].split(",")
    return {name: value.strip() for name, value in zip(ASKED_OF_NVIDIA_SMI.split(","), values, strict=False)}


def matmul_tflops(device: torch.device, size: int, repeats: int = 10) -> float:
    """TFLOP/s of a product of random bf16 matrices; zeros would be faster than anything real."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        torch.matmul(a, b)
    seconds = []
    for _ in range(3):
        began = finished(device)
        for _ in range(repeats):
            torch.matmul(a, b)
        seconds.append((finished(device) - began) / repeats)
    return 2 * size**3 / sorted(seconds)[1] / 1e12
