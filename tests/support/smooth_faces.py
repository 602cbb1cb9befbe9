"""Pictures that differ as faces do: a common look and smooth differences, no two nearly the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.types import LabelSchema

ATTRIBUTES = ("Smiling", "Eyeglasses", "Male")


def smooth_faces(count: int, generator: Generator, size: int = 16) -> Tensor:
    """uint8 (N, 3, S, S): a fixed picture plus one drawn from `generator`, both without fine detail."""
    common = torch.randn(1, 3, 4, 4, generator=Generator().manual_seed(7))
    own = torch.randn(count, 3, 5, 5, generator=generator)
    layers = [F.interpolate(field, (size, size), mode="bicubic") for field in (common, own)]
    return (128 + 35 * layers[0] + 25 * layers[1]).round().clamp(0, 255).byte()


def write_faces(
    folder: Path,
    images: Mapping[str, Tensor],
    seed: int = 0,
    people: Mapping[str, Sequence[str | None]] | None = None,
) -> Dataset:
    """A prepared data set of uint8 images (N, 3, S, S) a split, with random labels, of `people` if given."""
    generator = Generator().manual_seed(seed)
    size = next(iter(images.values())).shape[-1]
    writer = DatasetWriter(folder, LabelSchema(attributes=ATTRIBUTES), {}, {"size": size})
    for split, part in images.items():
        labels = torch.rand(len(part), len(ATTRIBUTES), generator=generator) < 0.5
        rows = []
        for index, image in enumerate(part):
            png = encode_png(image)
            rows.append(
                {
                    "image": png,
                    "id": f"{split}-{index:04d}",
                    "split": split,
                    "caption": "a face",
                    "captions": ["a face"],
                    "identity": None if people is None else people[split][index],
                    "sha256": sha256_of(png),
                    **dict(zip(ATTRIBUTES, labels[index].tolist(), strict=True)),
                }
            )
        writer.write_split(split, rows, len(part), 1000)
    writer.finish(rejects=[], kind="smooth", image_size=size)
    return Dataset.open(folder)
