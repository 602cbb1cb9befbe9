"""The grid of what a new generator can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from facegen.formats.dataset import Dataset
from facegen.formats.files import atomic_write
from facegen.formats.images import image_grid, pil_to_png
from facegen.making.options import MakeFolders
from facegen.making.plan import PICTURED, Plan
from facegen.models.classifier import load_classifier
from facegen.models.devices import resolve_device
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.types import PromptReading
from facegen.vocabulary.words import readable

COLUMNS = 8
RAREST = 0.03  # share of training faces that an attribute needs to be shown
FACE_PIXELS = 96  # of a face in the grid, at least


def draw_askable(folders: MakeFolders, plan: Plan, dataset: Path) -> None:
    """Write the grid of a generator: a column for each of some attributes or classes, or just faces."""
    generator = load(folders.run)
    if plan.asked.by == "attributes":
        columns = {readable(name): PromptReading({name: 1.0}) for name in _surest(folders, dataset)}
    else:
        columns = {readable(name): PromptReading({name: 1.0}) for name in generator.classes[: COLUMNS - 1]}
    columns = {"nothing asked": PromptReading({}), **columns} if columns else {"": PromptReading({})}
    write_grid(folders.grid, generator, columns, PICTURED // COLUMNS, seed=0)


def _surest(folders: MakeFolders, dataset: Path) -> list[str]:
    """Attributes that the classifier tells best, as these are what a face shows most plainly."""
    judge = load_classifier(folders.classifier, resolve_device("auto"))
    rates = Dataset.open(dataset).manifest.attribute_rates

    def told(name: str) -> float:
        return judge.held_out.get(name, {}).get("balanced_accuracy") or 0.0

    common = [name for name in judge.attributes if RAREST < (rates.get(name) or 0.0) < 1 - RAREST]
    return sorted(common, key=told, reverse=True)[: COLUMNS - 1]


def write_grid(
    path: Path, generator: FaceGenerator, columns: Mapping[str, PromptReading], rows: int, seed: int
) -> None:
    """A column a request with its title below, a row a seed, which starts from one noise; a single column
    without a title fills the grid."""
    requests = list(columns.values()) if len(columns) > 1 else [*columns.values()] * COLUMNS
    across = len(requests)
    inputs = torch.cat([generator.inputs_for(request) for request in requests])
    inputs = inputs.repeat(rows, *[1] * (inputs.dim() - 1))
    numbers = range(rows * across) if len(columns) == 1 else [row for row in range(rows) for _ in requests]
    faces = generator.generate(inputs, [seed + number for number in numbers], generator.sampling)
    titles = list(columns) if len(columns) > 1 else [""] * across
    captions = [""] * (rows - 1) * across + titles
    scale = -(-FACE_PIXELS // faces.shape[-1])
    atomic_write(path, pil_to_png(image_grid(faces, across, captions, scale=scale)))
