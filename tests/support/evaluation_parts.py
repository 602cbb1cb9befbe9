"""Faces made of plain colours, so that an honest drawer of what was asked for can be written down."""

from __future__ import annotations

from pathlib import Path

import torch
from support.generator_parts import LABELS, SHAPE
from torch import Tensor

from facegen.config.recipe import parse_recipe
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.models.feature_networks import FeatureExtractor
from facegen.training.train import train
from facegen.types import LabelSchema

ATTRIBUTES = LABELS.attributes
SIZE = SHAPE[-1]


def shapes(wanted: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 (N, 3, 16, 16) for `wanted` (N, 3) bool: one colour channel brighter for each."""
    images = torch.randint(0, 60, (len(wanted), 3, SIZE, SIZE), generator=generator)
    return (images + 90 * wanted.long()[:, :, None, None]).to(torch.uint8)


def write_shapes(folder: Path, counts: dict[str, int], seed: int = 0) -> Dataset:
    """A prepared data set of shapes, with labels that are true."""
    generator = torch.Generator().manual_seed(seed)
    schema = LabelSchema(attributes=ATTRIBUTES)
    writer = DatasetWriter(folder, schema, {}, {"size": SIZE})
    for split, count in counts.items():
        wanted = torch.rand(count, 3, generator=generator) < torch.tensor([0.5, 0.3, 0.6])
        rows = []
        for index, (image, labels) in enumerate(zip(shapes(wanted, generator), wanted, strict=True)):
            png = encode_png(image)
            rows.append(
                {
                    "image": png,
                    "id": f"{split}-{index:04d}",
                    "split": split,
                    "caption": "a shape",
                    "captions": ["a shape"],
                    "identity": None,
                    "sha256": sha256_of(png),
                    **dict(zip(ATTRIBUTES, labels.tolist(), strict=True)),
                }
            )
        writer.write_split(split, rows, count, 1000)
    writer.finish(rejects=[], kind="shapes", image_size=SIZE)
    return Dataset.open(folder)


def train_judge(dataset: Dataset, run: Path, steps: int = 60) -> Path:
    """A classifier of shapes, good after a second."""
    recipe = parse_recipe(
        {
            "task": {"kind": "attribute_classification", "widths": [8, 16]},
            "data": {"path": str(dataset.folder)},
            "optimizer": {"lr": 1e-2},
            "ema": {"decay": 0.9},
            "training": {
                "max_steps": steps,
                "batch_size": 32,
                "validate_every_steps": steps,
                "checkpoint_every_steps": steps,
            },
        }
    )
    train(recipe, run, device="cpu")
    return run


def drawer(flip: tuple[str, ...] = ()):
    """A stand-in for `FaceGenerator.generate` that draws what is asked, the attributes in `flip` inverted."""

    def generate(self, inputs, seeds, settings, negative_inputs=None, batch_size=None):
        wanted = inputs > 0
        for name in flip:
            wanted[:, ATTRIBUTES.index(name)] ^= True
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.cat([shapes(row[None], each) for row, each in zip(wanted, generators, strict=True)])

    return generate


def load_mean_colours(name: str, *_: object) -> FeatureExtractor:
    """In place of a face encoder, one that knows people by their mean colour, (B, 3)."""
    return FeatureExtractor(name, name, None, lambda images: images.float().mean((2, 3)))
