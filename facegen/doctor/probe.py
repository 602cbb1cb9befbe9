"""Run as a program: torch and the libraries that stand on it are imported, and what they are goes to stdout.

A library that crashes or hangs here takes nothing else along. The report is one line of JSON after `MARK`:
`imports` (library -> what its import raised, or null), `torch`, `devices`, `speeds` and `training`.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from facegen.compat import MISSING_OPERATOR, guard_torchvision

MARK = "facegen-probe:"
LIBRARIES = {  # the module whose import shows that a library is whole
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors.torch",
    "diffusers": "diffusers.models.autoencoders.autoencoder_kl",
    "transformers": "transformers.models.clip.modeling_clip",
}
SIDES = {"cpu": 512}  # of a square product
GPU_SIDE, REPEATS = 4096, 3


def probe() -> dict[str, Any]:
    """What this process can import and calculate with."""
    imports: dict[str, str | None] = {}
    for name, module in LIBRARIES.items():
        imports[name] = failure_of(name, module)
        if MISSING_OPERATOR in (imports[name] or ""):
            guard_torchvision()  # as every command does before it imports what comes after
    found: dict[str, Any] = {"imports": imports}
    if imports["torch"] is None:
        found |= _of_torch()
    return found


def failure_of(name: str, module: str) -> str | None:
    """What importing a `module` of a library raises, on one line; "absent" where it is not installed."""
    if find_spec(name) is None:
        return "absent"
    try:
        import_module(module)
    except BaseException as error:  # whatever a library's own start may do
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _of_torch() -> dict[str, Any]:
    import torch

    version: Any = torch.version
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        accelerator = torch.accelerator.current_accelerator(check_available=True)
    kind = "cpu" if accelerator is None else accelerator.type
    names = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if kind == "cuda" else []
    )
    return {
        "torch": {
            "cuda": version.cuda,
            "hip": version.hip,
            "device": kind,
            "threads": torch.get_num_threads(),
            "warned": [" ".join(str(one.message).split()) for one in warned],
        },
        "devices": names,
        "speeds": {name: _speed(kind, dtype) for name, dtype in _dtypes().items()},
        "training": _training(kind),
    }


def _dtypes() -> dict[str, Any]:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _speed(kind: str, dtype: Any) -> float | None:
    """Billions of operations a second in a product of two square matrices; None if it cannot be done."""
    import torch

    side = SIDES.get(kind, GPU_SIDE)
    try:
        factors = [torch.ones(side, side, device=kind, dtype=dtype) for _ in "ab"]
        fastest = min(_seconds(factors, kind) for _ in range(REPEATS))
    except RuntimeError:
        return None
    return round(2 * side**3 / fastest / 1e9, 1)


def _seconds(factors: list[Any], kind: str) -> float:
    import torch

    started = time.perf_counter()
    torch.mm(*factors)
    if kind != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - started


def _training(kind: str) -> str:
    """What `training.precision: auto` takes, and why."""
    import torch

    from facegen.training.precision import choose_precision

    return choose_precision("auto", torch.device(kind)).reason


if __name__ == "__main__":
    print(MARK + json.dumps(probe()), file=sys.stdout)
