"""Training on plain coloured shapes with scores of what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facegen.config.recipe import Recipe, parse_recipe

DENOISER = {"kind": "dit", "patch_size": 4, "width": 16, "depth": 1, "num_heads": 2}


def scored_recipe(data: Path, scoring: dict[str, Any], **training: Any) -> Recipe:
    """A recipe of a tiny pixel denoiser on `data`, scored as `scoring` says."""
    lengths = {
        "max_steps": 8,
        "batch_size": 4,
        "log_every_steps": 2,
        "validate_every_steps": 4,
        "checkpoint_every_steps": 100,
        "trackers": [],
    }
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 4},
            "data": {"path": str(data)},
            "autoencoder": {"kind": "identity"},
            "denoiser": DENOISER,
            "conditioner": {"kind": "attributes", "dim": 8},
            "ema": {"decay": 0.9},
            "training": {**lengths, **training},
            "sampling": {"steps": 2},
            "scoring": {"every_steps": 3, "num_images": 20, **scoring},
        }
    )
