"""Mends what is broken in the surroundings before diffusers, transformers or torch_fidelity load.

The registry's torchvision wheel is built for CUDA. Beside a CPU-only torch its compiled half does not
load, its Python half then refers to operators that do not exist, and every library that imports
torchvision where it is installed fails with it.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec

MISSING_OPERATOR = "operator torchvision::"
OPERATOR_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@cache
def guard_torchvision() -> None:
    """Make `import torchvision` succeed where it is installed but its compiled operators are missing.

    Call it before the first import of diffusers, transformers or torch_fidelity. Does nothing where
    torchvision is absent or healthy; any other failure of torchvision is raised as it is.
    """
    if "torchvision" not in sys.modules:
        if find_spec("torchvision") is None:
            return
        _forget_torchvision()
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if MISSING_OPERATOR not in str(error):
            raise
        _forget_torchvision()
        _define_missing_operators()
        import_module("torchvision")


def _forget_torchvision() -> None:
    """Drop modules a failed import left behind, so that the next import starts anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


@cache  # also keeps the library alive: torch forgets the schemas when it is collected
def _define_missing_operators() -> object:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in OPERATOR_SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    return library
