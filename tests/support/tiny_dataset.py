"""A prepared data set of a few small pictures, and a compact autoencoder's folder."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.autoencoders import save_autoencoder
from facegen.autoencoders.compact import Config, build
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.types import LabelSchema

SIZE = 16
COUNTS = {"train": 11, "validation": 5}
LABELS = LabelSchema(attributes=("Smiling",), classes={"age_group": ("young", "old")})


def write_dataset(
    folder: Path, counts: dict[str, int] | None = None, size: int = SIZE, seed: int = 0
) -> Dataset:
    """Pictures of smooth colour ramps with noise; `captions` come in two phrasings."""
    generator = torch.Generator().manual_seed(seed)
    writer = DatasetWriter(folder, LABELS, {"age": "int"}, {"size": size})
    for split, count in (counts or COUNTS).items():
        rows = []
        for number in range(count):
            ramp = torch.linspace(0, 200, size) * torch.rand(3, 1, 1, generator=generator)
            image = (ramp.expand(3, size, size) + 55 * torch.rand(3, size, size, generator=generator)).byte()
            png = encode_png(image)
            smiling = [True, False, None][number % 3]
            caption = "A smiling face" if smiling else "A face"
            rows.append(
                {
                    "id": f"{split}-{number}",
                    "image": png,
                    "split": split,
                    "caption": caption,
                    "captions": [caption, f"{caption}."],
                    "identity": None,
                    "sha256": sha256_of(png),
                    "Smiling": smiling,
                    "age_group": ["young", "old"][number % 2],
                    "age": number,
                }
            )
        writer.write_split(split, rows, count, rows_per_file=1000)
    writer.finish(rejects=[], kind="image-folder", image_size=size)
    return Dataset.open(folder)


def write_autoencoder(folder: Path, seed: int = 0) -> Path:
    """An untrained compact autoencoder of factor 4, in the folder form facegen writes."""
    config = Config(widths=(8, 16), encoder_blocks=1, decoder_blocks=1)
    torch.manual_seed(seed)
    save_autoencoder(build(config), config, folder)
    return folder
