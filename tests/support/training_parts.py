"""Small things to train: a folder of latents, recipes for it, and a task that needs no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from facegen.config.recipe import DataConfig, Recipe, parse_recipe
from facegen.draws import Draws
from facegen.formats.checkpoint import CheckpointInfo
from facegen.formats.files import sha256_of
from facegen.formats.latents import LatentIndex
from facegen.formats.latents_writing import write_index, write_records, write_tensors
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.tasks import TrainingImages
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.trainer import Preview, Trainer
from facegen.training.wiring import wire_task
from facegen.types import LabelSchema, LatentScaling

SHAPE = (3, 8, 8)
COUNTS = {"train": 40, "validation": 12}
LABELS = LabelSchema(attributes=("Smiling", "Eyeglasses"))


def write_latents(folder: Path, counts: dict[str, int] | None = None, seed: int = 0) -> Path:
    """Latents of the identity autoencoder: 8x8 "images" whose brightness is the label Smiling."""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    shards, records = {}, {}
    for split, count in (counts or COUNTS).items():
        smiling = torch.rand(count, generator=generator) < 0.5
        glasses = torch.rand(count, generator=generator) < 0.5
        mean = 0.2 * torch.randn(count, *SHAPE, generator=generator) + smiling.view(-1, 1, 1, 1) - 0.5
        tensors = {"mean": mean.half(), "log_variance": torch.full_like(mean, -30).half()}
        shards[split] = (write_tensors(folder, f"latents-{split}-00000.safetensors", tensors),)
        frame = pd.DataFrame({"id": [f"{split}-{i}" for i in range(count)]})
        for name, values in (("Smiling", smiling), ("Eyeglasses", glasses)):
            frame[name] = pd.array(values.int().tolist(), dtype="Int8")
        records[split] = write_records(folder, split, frame)
    index = LatentIndex(
        sample_shape=SHAPE,
        scaling=LatentScaling((0.0,) * 3, (1.8,) * 3),
        labels=LABELS,
        image_size=8,
        flips=False,
        autoencoder={"source": "identity", "kind": "identity", "fingerprint": _identity_fingerprint()},
        dataset_fingerprint=sha256_of(str(seed).encode()),
        transform={},
        shards=shards,
        records=records,
    )
    write_index(folder, index)
    return folder


def _identity_fingerprint() -> str:
    from facegen.autoencoders import load_autoencoder

    return load_autoencoder("identity").fingerprint


def denoising_recipe(latents: Path, **training: Any) -> Recipe:
    """A recipe that trains a tiny transformer on `write_latents`' folder, 10 steps unless told otherwise."""
    return parse_recipe(
        {
            "task": {"kind": "denoising", "validation_examples": 12},
            "data": {"path": str(latents)},
            "denoiser": {"kind": "dit", "patch_size": 4, "width": 16, "depth": 1, "num_heads": 2},
            "conditioner": {"kind": "attributes", "dim": 8},
            "diffusion": {"parameterisation": "flow", "timesteps": "logit_normal"},
            "optimizer": {"lr": 1e-3, "lr_schedule": "cosine", "warmup_steps": 2},
            "ema": {"decay": 0.99},
            "training": {
                "max_steps": 10,
                "batch_size": 16,
                "log_every_steps": 2,
                "validate_every_steps": 4,
                "checkpoint_every_steps": 3,
                "precision": "fp32",
                **training,
            },
        }
    )


def latent_trainer(run: Path, recipe: Recipe, device: str = "cpu") -> Trainer:
    """A trainer of `recipe` in the folder `run`, which is started, as `facegen train` would build it."""
    wired, folder = wire_task(recipe), RunDirectory(run)
    run.mkdir(parents=True)
    folder.start(wired.recipe)
    keeper = CheckpointKeeper(folder, wired.info, recipe.training.keep_last)
    return Trainer(wired.task, wired.recipe, keeper, SilentProgress(), torch.device(device))


class LineTask:
    """A `TrainingTask`: fit y = 3 x - 1 by a linear layer. `seen` logs the examples of every step."""

    num_examples = 20

    def __init__(self, dropout: float = 0.1) -> None:
        self.dropout = dropout
        self.seen: list[list[int]] = []

    def build_module(self) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 4), nn.Dropout(self.dropout), nn.Linear(4, 1))

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        self.seen.append(indices.tolist())
        x = indices.float().view(-1, 1) / self.num_examples
        return {"x": x, "y": 3 * x - 1 + 0.01 * draws.normal(1)}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (module(batch["x"]) - batch["y"]).square().mean()}

    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        x = torch.linspace(0, 1, 9).view(-1, 1)
        loss = (module(x) - (3 * x - 1)).square().mean().item()
        return {"loss": loss, "verdict": f"off by {loss:.3f}"}


def line_recipe(**settings: Any) -> Recipe:
    """A recipe for `LineTask`; `optimizer` and `ema` are sections, everything else goes to `training`."""
    sections = {name: settings.pop(name) for name in ("optimizer", "ema") if name in settings}
    training = {"batch_size": 8, "validate_every_steps": 4, "checkpoint_every_steps": 3, "precision": "fp32"}
    return Recipe.model_validate(
        {
            "task": {"kind": "line"},
            "optimizer": {"lr": 0.03, "warmup_steps": 2, **sections.get("optimizer", {})},
            "ema": {"decay": 0.9, **sections.get("ema", {})},
            "training": {**training, **settings},
        }
    )


def line_trainer(
    run: Path, recipe: Recipe, task: LineTask | None = None, preview: Preview | None = None
) -> Trainer:
    """A trainer of `LineTask` in the folder `run`, which is started."""
    folder = RunDirectory(run)
    if not folder.exists:
        run.mkdir(parents=True, exist_ok=True)
        folder.start(recipe)
    info = CheckpointInfo(0, 0, recipe.model_dump(mode="json"))
    keeper = CheckpointKeeper(folder, info, recipe.training.keep_last)
    return Trainer(task or LineTask(), recipe, keeper, SilentProgress(), torch.device("cpu"), preview)


def training_images(dataset: Any, autoencoder: Any, distance: Any = None, **data: Any) -> TrainingImages:
    """What `facegen train` would give a task whose recipe trains `autoencoder` on `dataset`."""
    return TrainingImages(
        dataset, DataConfig(**data), {"autoencoder": autoencoder}.__getitem__, lambda config, size: distance
    )
