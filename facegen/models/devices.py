"""Which device a command runs on."""

from __future__ import annotations

import torch

from facegen.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """The device meant by "auto", "cpu", "cuda", "cuda:1" or "mps"; auto takes the fastest there is.

    Raises:
        UsageError: no such device on this machine.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"Unknown device '{name}'.", hint="Allowed: auto, cpu, cuda, cuda:1, mps") from error
    present = {
        "cpu": device.index in (None, 0),
        "cuda": cuda and (device.index or 0) < torch.cuda.device_count(),
        "mps": mps,
    }
    if not present.get(device.type, False):
        raise UsageError(f"This machine has no device '{name}'.", hint="Use --device auto")
    return device
