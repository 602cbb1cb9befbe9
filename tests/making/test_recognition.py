"""What a source is, by what lies in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facegen.datasets import recognise, write_some
from facegen.errors import DataError
from facegen.preparation.prepare import PrepareOptions, prepare


def pictures(folder: Path, count: int, size: tuple[int, int] = (40, 40), suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", size, (number * 5, 90, 200 - number)).save(folder / f"{number}{suffix}")
    return folder


def test_celeba_is_known_by_its_table(celeba_source: Path) -> None:
    kind, found = recognise(celeba_source)
    assert (kind, found.num_images) == ("celeba", 12)
    assert "list_attr_celeba" in found.why


def test_utkface_is_known_by_its_names(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "faces", 1)
    for number in range(10):
        (folder / f"{20 + number}_{number % 2}_0_2017.jpg.chip.jpg").write_bytes(
            (folder / "0.png").read_bytes()
        )
    (folder / "0.png").unlink()
    assert recognise(folder)[0] == "utkface"
    pictures(folder, 5)  # two thirds are no longer nearly all
    assert recognise(folder)[0] == "image-folder"


def test_labels_are_told(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        pictures(tmp_path / "classes" / name, 3)
    kind, found = recognise(tmp_path / "classes")
    assert kind == "image-folder"
    assert "a folder per class: 2" in found.why
    folder = pictures(tmp_path / "table", 4)
    (folder / "metadata.csv").write_text(
        "file_name,Smiling\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(4))
    )
    kind, found = recognise(folder)
    assert kind == "image-folder"
    assert "metadata.csv" in found.why


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        ([(640, 480), (480, 640), (1000, 700)], "photos"),
        ([(640, 480)], "photos"),  # no face that was cut out has that shape
        ([(512, 512)], "image-folder"),  # faces that were cut out
        ([(178, 218)], "image-folder"),  # aligned, as CelebA is
    ],
)
def test_photos_are_large_and_not_cut_alike(tmp_path: Path, sizes: list[tuple[int, int]], kind: str) -> None:
    for size in sizes:
        pictures(tmp_path / "source" / "album", 2, size, f"-{size[0]}.jpg")
    assert recognise(tmp_path / "source")[0] == kind


def test_parquet_files_are_known(tmp_path: Path) -> None:
    prepare("avatars", None, tmp_path / "set", PrepareOptions(size=16, count=8, workers=1))
    kind, found = recognise(tmp_path / "set" / "data")
    assert kind == "hub"
    assert found.num_images == 8


def test_nothing_of_faces_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="1 files, no image"):
        recognise(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        recognise(tmp_path / "nowhere")


def test_a_few_are_taken_evenly(tmp_path: Path) -> None:
    source = pictures(tmp_path / "source", 10)
    few = write_some(source, 3, tmp_path / "few")
    names = [source / name for name in ("0.png", "3.png", "6.png")]
    assert [one.read_bytes() for one in sorted(few.iterdir())] == [one.read_bytes() for one in names]
    assert len(list(write_some(source, 30, tmp_path / "all").iterdir())) == 10
