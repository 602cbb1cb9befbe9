"""What is trained: made-up latents in facegen's own format, two networks, and trainers of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegen.config.recipe import Recipe, parse_recipe
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.trainer import Trainer
from facegen.training.wiring import wire_task

SHAPE = (4, 32, 32)  # of an image of 256x256 in the latents of Stable Diffusion's autoencoder
ATTRIBUTES = tuple(f"attribute_{number:02d}" for number in range(40))  # as many as CelebA has
NEVER = 1_000_000  # steps: further than any measuring goes


@dataclass(frozen=True)
class Network:
    """A transformer of 256 tokens, and how many images it is trained on at once."""

    name: str
    width: int
    depth: int
    num_heads: int
    batch_size: int


SMALL = Network("small", width=256, depth=6, num_heads=4, batch_size=256)  # that of the preset avatars
LARGE = Network("large", width=768, depth=13, num_heads=12, batch_size=128)
TINY = Network("tiny", width=32, depth=1, num_heads=2, batch_size=8)  # for --smoke


def recipe_of(network: Network, latents: Path, **training: Any) -> Recipe:
    """How `network` is trained: as the preset avatars says, on and on, with nothing written on the way."""
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 16},
            "data": {"path": str(latents)},
            "denoiser": {
                "kind": "dit",
                "patch_size": 2,
                "width": network.width,
                "depth": network.depth,
                "num_heads": network.num_heads,
            },
            "conditioner": {"kind": "attributes", "dim": network.width, "tokens": False},
            "diffusion": {"parameterisation": "flow", "timesteps": "logit_normal"},
            "optimizer": {"lr": 1e-4, "betas": [0.9, 0.99]},
            "training": {
                "max_steps": NEVER,
                "batch_size": network.batch_size,
                "validate_every_steps": NEVER,
                "checkpoint_every_steps": NEVER,
                "log_every_steps": 50,
                "trackers": [],
                "compile": False,
                **training,
            },
        }
    )


def trainer_of(recipe: Recipe, run: Path, device: torch.device) -> Trainer:
    """The trainer that `facegen train` would build, in the folder `run`."""
    wired, folder = wire_task(recipe), RunDirectory(run)
    run.mkdir(parents=True)
    keeper = CheckpointKeeper(folder, wired.info, recipe.training.keep_last)
    return Trainer(wired.task, wired.recipe, keeper, SilentProgress(), device)
