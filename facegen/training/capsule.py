"""A capsule: everything needed to look again at a step that went wrong.

RUN/capsules/step-00000123/
  model.safetensors  batch.safetensors  capsule.json
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from facegen.config.recipe import Recipe
from facegen.formats.checkpoint_head import checkpoint_name
from facegen.formats.files import saving, whole_folder
from facegen.formats.run import RunDirectory
from facegen.protocols import Batch

CAPSULE_FORMAT_VERSION = 1
CAPSULE_FILE, MODEL_FILE, BATCH_FILE = "capsule.json", "model.safetensors", "batch.safetensors"


def save_capsule(
    run: RunDirectory,
    step: int,
    module: nn.Module,
    batch: Batch,
    losses: dict[str, Tensor],
    recipe: Recipe,
    precision: str,
) -> Path:
    """Write weights, batch (with its noise and timesteps) and recipe of a step; returns the folder.

    Raises:
        StorageError: the disk is full or cannot be written to.
    """
    folder = run.path / "capsules" / checkpoint_name(step)
    with saving(f"the capsule '{folder}'"), whole_folder(folder) as temporary:
        for name, tensors in ((MODEL_FILE, module.state_dict()), (BATCH_FILE, dict(batch))):
            copies = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
            save_file(copies, temporary / name)
        record = {
            "format_version": CAPSULE_FORMAT_VERSION,
            "step": step,
            "losses": {name: str(float(value)) for name, value in losses.items()},  # JSON has no nan
            "precision": precision,
            "recipe": recipe.shared(),
        }
        shutil.rmtree(folder, ignore_errors=True)  # of the same step, before the run was resumed
        (temporary / CAPSULE_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return folder
