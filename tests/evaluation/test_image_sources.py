"""Folders of images: what is taken, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from facegen.errors import DataError
from facegen.evaluation.image_sources import FolderImages
from facegen.formats.images import pil_to_png
from facegen.models.chosen_images import batches, chosen_indices


def save(path: Path, size: tuple[int, int] = (8, 8), color: str = "red") -> None:
    Image.new("RGB", size, color).save(path)


def test_images_come_in_the_order_of_names_without_grids_and_hidden_files(tmp_path: Path):
    save(tmp_path / "b.png", color="blue")
    save(tmp_path / "a.png", color="red")
    save(tmp_path / "gridlock.png", color="lime")
    for name in ("grid.png", "blend.png", "renamed_grid.png"):
        settings = {"facegen": json.dumps({"shows": "grid"})}
        (tmp_path / name).write_bytes(pil_to_png(Image.new("RGB", (80, 80)), settings))
    save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no image")
    source = FolderImages(tmp_path)
    assert [path.name for path in source.files] == ["a.png", "b.png", "gridlock.png"]
    assert source.image_size == 8
    assert source.images(torch.tensor([1]))[0, :, 0, 0].tolist() == [0, 0, 255]


def test_a_sample_may_be_called_grid(tmp_path: Path):
    settings = {"facegen": json.dumps({"shows": "image"})}
    (tmp_path / "grid.png").write_bytes(pil_to_png(Image.new("RGB", (8, 8)), settings))
    save(tmp_path / "blend.png")
    assert [path.name for path in FolderImages(tmp_path).files] == ["blend.png", "grid.png"]


def test_mixed_sizes_are_refused_by_name(tmp_path: Path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", size=(16, 16))
    with pytest.raises(DataError, match=r"'a\.png' is 8x8, 'b\.png' is 16x16"):
        FolderImages(tmp_path).images(torch.tensor([0, 1]))


def test_oblong_images_are_refused(tmp_path: Path):
    save(tmp_path / "a.png", size=(8, 12))
    with pytest.raises(DataError, match="8x12"):
        _ = FolderImages(tmp_path).image_size


def test_empty_and_missing_folders_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds no images"):
        FolderImages(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        FolderImages(tmp_path / "nowhere")


def test_an_unreadable_image_is_named(tmp_path: Path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"b\.png"):
        FolderImages(tmp_path).images(torch.tensor([0, 1]))


def test_a_draw_of_images_is_seeded_distinct_and_ascending():
    drawn = chosen_indices(100, 10, seed=3)
    assert torch.equal(drawn, chosen_indices(100, 10, seed=3))
    assert not torch.equal(drawn, chosen_indices(100, 10, seed=4))
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert torch.equal(chosen_indices(5, 10, seed=0), torch.arange(5))
    assert torch.equal(chosen_indices(5, None, seed=0), torch.arange(5))


def test_batches_cover_every_index_once(tmp_path: Path):
    for index in range(5):
        save(tmp_path / f"{index}.png", color=f"rgb({index},0,0)")
    parts = list(batches(FolderImages(tmp_path), torch.arange(5), 2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.cat(parts)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
