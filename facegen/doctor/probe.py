"""Run as a program: torch and the libraries beside it are imported, and what they are goes to stdout.

A library that crashes or hangs here takes nothing else along. A line after `AT` tells which one is tried; the
report is one line of JSON after `MARK`: `imports` (library -> what its import raised, or null), `through`
(library that failed -> packages whose own import was under way), `torch`, `devices`, `speeds` and `training`.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from facegen.compat import MISSING_OPERATOR, guard_torchvision

MARK, AT = "facegen-probe:", "facegen-probe-at:"
LIBRARIES = {  # by distribution, the module whose import shows that it is whole
    "packaging": "packaging.requirements",
    "pyyaml": "yaml",
    "pydantic": "pydantic.main",
    "rich": "rich.console",
    "typer": "typer.main",
    "jinja2": "jinja2",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "lazy-loader": "lazy_loader",
    "pooch": "pooch",
    "threadpoolctl": "threadpoolctl",
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "torch": "torch",
    "torchvision": "torchvision",
    "scipy": "scipy.linalg",
    "scikit-learn": "sklearn",
    "matplotlib": "matplotlib.figure",
    "networkx": "networkx",
    "jaxtyping": "jaxtyping",
    "tensorboardX": "tensorboardX",
    "dicebear-core": "dicebear",
    "resvg-py": "resvg_py",
    "pyarrow": "pyarrow",
    "pandas": "pandas",
    "safetensors": "safetensors.torch",
    "huggingface-hub": "huggingface_hub.file_download",
    "torch-fidelity": "torch_fidelity",
    "diffusers": "diffusers.models.autoencoders.autoencoder_kl",
    "transformers": "transformers.models.clip.modeling_clip",
}
OWNERS = {module.partition(".")[0]: name for name, module in LIBRARIES.items()}
SIDES = {"cpu": 512}  # of a square product
GPU_SIDE, REPEATS = 4096, 3


def probe() -> dict[str, Any]:
    """What this process can import and calculate with."""
    imports: dict[str, str | None] = {}
    through: dict[str, list[str]] = {}
    for name, module in LIBRARIES.items():
        print(AT + name, flush=True)
        imports[name] = None
        try:
            if find_spec(module.partition(".")[0]) is None:
                imports[name] = "absent"
            else:
                import_module(module)
        except BaseException as error:  # whatever a library's own start may do
            imports[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            through[name] = sorted(set(_under_way(error)))
        if MISSING_OPERATOR in (imports[name] or ""):
            with suppress(Exception):  # what else is wrong is told of its own library
                guard_torchvision()  # as every command does before it imports what comes after
    found: dict[str, Any] = {"imports": imports, "through": through}
    if imports["torch"] is None:
        found |= _of_torch()
        if imports["pillow"] is None and imports["numpy"] is None:  # which facegen's own code imports there
            found["training"] = _training(found["torch"]["device"])
    return found


def _under_way(error: BaseException | None) -> Iterator[str]:
    """The `LIBRARIES` whose import was under way when an error, or what led to it, was raised."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            owner = OWNERS.get(str(frame.f_globals.get("__name__")).partition(".")[0])
            if frame.f_code.co_name == "<module>" and owner is not None:
                yield owner
        error = error.__cause__ or error.__context__


def _of_torch() -> dict[str, Any]:
    import torch

    version: Any = torch.version
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        accelerator = torch.accelerator.current_accelerator(check_available=True)
    kind = "cpu" if accelerator is None else accelerator.type
    cards = range(torch.cuda.device_count()) if kind == "cuda" else ()
    return {
        "torch": {
            "cuda": version.cuda,
            "hip": version.hip,
            "device": kind,
            "threads": torch.get_num_threads(),
            "warned": [" ".join(str(one.message).split()) for one in warned],
        },
        "devices": [
            f"{told.name}, {told.total_memory / 1e9:.0f} GB"
            for told in map(torch.cuda.get_device_properties, cards)
        ],
        "speeds": {name: _speed(kind, dtype) for name, dtype in _dtypes().items()},
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
