"""A capsule: everything needed to look again at a step that went wrong.

RUN/capsules/step-00000123/
  model.safetensors  batch.safetensors  capsule.json
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.formats.checkpoint import checkpoint_name
from facegen.formats.files import saving
from facegen.formats.run import RunDirectory
from facegen.protocols import Batch

CAPSULE_FORMAT_VERSION = 1


def save_capsule(
    run: RunDirectory, step: int, module: nn.Module, batch: Batch, losses: dict[str, Tensor], recipe: Recipe
) -> Path:
    """Write weights, batch (with its noise and timesteps) and recipe of a step; returns the folder.

    Raises:
        StorageError: the disk is full or cannot be written to.
    """
    folder = run.path / "capsules" / checkpoint_name(step)
    with saving(f"the capsule '{folder}'"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensors in (("model", module.state_dict()), ("batch", dict(batch))):
            copies = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
            save_file(copies, folder / f"{name}.safetensors")
        record = {
            "format_version": CAPSULE_FORMAT_VERSION,
            "step": step,
            "losses": {name: str(float(value)) for name, value in losses.items()},  # JSON has no nan
            "recipe": recipe.shared(),
        }
        (folder / "capsule.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return folder
