"""Devices that a test runs on: the CPU everywhere, CUDA with `pytest -m gpu`."""

from __future__ import annotations

import pytest
import torch

CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    ],
)
DEVICES = ["cpu", CUDA]


def measured(what: str, value: object) -> None:
    """Print a number that a test found on its device; `benchmarks/gpu.py` collects these lines."""
    print(f"\nmeasured: {what}: {value}")
