"""What is trained: made-up latents in facegen's own format, two networks, and trainers of them."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.bench.made_up import Network as Network
from facegen.bench.made_up import recipe_of as recipe_of
from facegen.config.recipe import Recipe
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.trainer import Trainer
from facegen.training.wiring import wire_task

SHAPE = (4, 32, 32)  # of an image of 256x256 in the latents of Stable Diffusion's autoencoder
ATTRIBUTES = tuple(f"attribute_{number:02d}" for number in range(40))  # as many as CelebA has


SMALL = Network("small", width=256, depth=6, num_heads=4, batch_size=256)  # that of the preset avatars
LARGE = Network("large", width=768, depth=13, num_heads=12, batch_size=128)
TINY = Network("tiny", width=32, depth=1, num_heads=2, batch_size=8)  # for --smoke


def trainer_of(recipe: Recipe, run: Path, device: torch.device) -> Trainer:
    """The trainer that `facegen train` would build, in the folder `run`."""
    wired, folder = wire_task(recipe), RunDirectory(run)
    run.mkdir(parents=True)
    keeper = CheckpointKeeper(folder, wired.info, recipe.training.keep_last)
    return Trainer(wired.task, wired.recipe, keeper, SilentProgress(), device)
