"""A tiny prepared data set whose statistics are quick to compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.models.feature_networks import FeatureExtractor
from facegen.types import LabelSchema


def write_dataset(folder: Path, counts: dict[str, int], *, seed: int = 0, size: int = 8) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    transform = {"size": size}
    writer = DatasetWriter(folder, LabelSchema(attributes=("Smiling",)), {}, transform)
    for split, count in counts.items():
        rows = []
        for index in range(count):
            image = torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator)
            data = encode_png(image)
            rows.append(
                {
                    "image": data,
                    "id": f"{split}-{index}",
                    "split": split,
                    "caption": "a face",
                    "captions": ["a face"],
                    "identity": None,
                    "sha256": sha256_of(data),
                    "Smiling": index % 2 == 0,
                }
            )
        writer.write_split(split, rows, count, 1000)
    writer.finish(rejects=[], kind="test", image_size=size)
    return Dataset.open(folder)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    def make(counts: dict[str, int], **options: int) -> Dataset:
        return write_dataset(tmp_path / f"dataset-{sum(counts.values())}-{options}", counts, **options)

    return make


class CountingExtractor:
    """Mean colour and its spread: six features; counts the images it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        pixels = images.float().flatten(2) / 255
        return torch.cat([pixels.mean(2), pixels.std(2)], dim=1)


@pytest.fixture
def counter() -> CountingExtractor:
    return CountingExtractor()


@pytest.fixture
def extractor(counter: CountingExtractor) -> FeatureExtractor:
    return FeatureExtractor(name="colour", fingerprint="colour:1", image_size=None, extract=counter)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
