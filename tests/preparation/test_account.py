"""A source is accounted for file by file, and compared with what was made of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.datasets.image_folder import Config, ImageFolder
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.images import read_image
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.preparation.splits import assign_splits
from facegen.progress import SilentProgress
from facegen.types import DatasetRecord

SMALL = PrepareOptions(size=16, workers=1)
RENEW = PrepareOptions(size=16, workers=1, renew=True)


def face(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (20, 20, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photographs with a table of smiles."""
    for number in range(10):
        face(tmp_path / "photos" / f"{number}.png", number)
    write_table(tmp_path / "photos", [number % 2 for number in range(10)])
    return tmp_path / "photos"


def write_table(folder: Path, smiles: list[int]) -> None:
    rows = "".join(f"{number}.png,{smile}\n" for number, smile in enumerate(smiles))
    (folder / "metadata.csv").write_text(f"file_name,Smiling\n{rows}")


def refusal(photos: Path, out: Path) -> str:
    with pytest.raises(UsageError, match="was made of another state") as refused:
        prepare("image-folder", photos, out, SMALL)
    return str(refused.value)


def test_an_unchanged_source_is_finished_already(photos: Path, tmp_path: Path) -> None:
    made = prepare("image-folder", photos, tmp_path / "out", SMALL)
    for path in photos.iterdir():
        os.utime(path)  # copied or touched: times alone say nothing
    again = prepare("image-folder", photos, tmp_path / "out", SMALL)
    assert again.already_done
    assert (again.fingerprint, again.examples, again.read_as) == (
        made.fingerprint,
        made.examples,
        made.read_as,
    )


def test_every_change_of_a_source_is_told(photos: Path, tmp_path: Path) -> None:
    prepare("image-folder", photos, tmp_path / "out", SMALL)
    write_table(photos, [1] + [number % 2 for number in range(1, 10)])
    assert "1 image is labelled otherwise (such as '0.png': Smiling was 0, is 1)" in refusal(
        photos, tmp_path / "out"
    )
    write_table(photos, [number % 2 for number in range(10)])
    shutil.copy(photos / "3.png", tmp_path / "kept.png")
    face(photos / "3.png", 99)
    assert "1 image has other content (such as '3.png')" in refusal(photos, tmp_path / "out")
    shutil.copy(tmp_path / "kept.png", photos / "3.png")
    assert prepare("image-folder", photos, tmp_path / "out", SMALL).already_done
    face(photos / "10.png", 10)
    write_table(photos, [number % 2 for number in range(11)])
    assert "1 image is new (such as '10.png')" in refusal(photos, tmp_path / "out")
    shutil.rmtree(photos)
    assert prepare("image-folder", photos, tmp_path / "out", SMALL).already_done


def test_other_columns_are_told(photos: Path, tmp_path: Path) -> None:
    prepare("image-folder", photos, tmp_path / "out", SMALL)
    table = pd.read_csv(photos / "metadata.csv").rename(columns={"Smiling": "Bald"})
    table.to_csv(photos / "metadata.csv", index=False)
    assert "the labels are others (now: Bald)" in refusal(photos, tmp_path / "out")


def test_renew_makes_the_data_set_anew(photos: Path, tmp_path: Path) -> None:
    before = prepare("image-folder", photos, tmp_path / "out", SMALL)
    face(photos / "10.png", 10)
    write_table(photos, [1] * 11)
    progress = SilentProgress()
    after = prepare("image-folder", photos, tmp_path / "out", RENEW, progress)
    assert (sum(before.counts.values()), sum(after.counts.values())) == (10, 11)
    assert after.attribute_rates == {"Smiling": 1.0}
    assert "The source has changed: 1 image is new" in " ".join(progress.said)
    assert not list(tmp_path.glob(".*.partial"))
    Dataset.open(tmp_path / "out").verify()


def test_an_interrupted_run_does_not_take_up_images_of_another_state(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.preparation.prepare.write_account", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare("image-folder", photos, tmp_path / "out", SMALL)
    monkeypatch.undo()
    face(photos / "3.png", 99)
    prepare("image-folder", photos, tmp_path / "out", SMALL)
    prepare("image-folder", photos, tmp_path / "fresh", SMALL)
    fingerprints = [Dataset.open(tmp_path / name).manifest.fingerprint for name in ("out", "fresh")]
    assert fingerprints[0] == fingerprints[1]


def test_every_file_is_in_the_account(photos: Path, tmp_path: Path) -> None:
    (photos / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    shutil.copy(photos / "4.png", photos / "6.png")
    (photos / "notes.md").write_text("hello")
    (photos / ".hidden").write_text("x")
    (photos / "old.png").write_bytes((photos / "5.png").read_bytes())
    prepare("image-folder", photos, tmp_path / "out", SMALL)
    account = pd.read_csv(tmp_path / "out" / "account.csv", keep_default_na=False).set_index("file")
    assert len(account) == len(list(photos.iterdir()))
    taken = account["taken_as"].to_dict()
    assert taken["photos/notes.md"] == "not an image"
    assert taken["photos/.hidden"] == "hidden"
    assert taken["photos/metadata.csv"] == "labels"
    assert taken["photos/old.png"] == "an image that no row names"
    assert taken["photos/3.png"] == taken["photos/6.png"] == "left out"
    assert account["reason"]["photos/6.png"] == "duplicate: same bytes as 4.png"
    assert sum(value in ("train", "validation", "test") for value in taken.values()) == 8


def test_equal_pictures_with_other_labels_are_left_out_or_the_first_is_kept(tmp_path: Path) -> None:
    for number in range(6):
        face(tmp_path / "sorted" / "A" / f"{number}.png", number)
        face(tmp_path / "sorted" / "B" / f"{number}.png", number + 5)  # A/5 is B/0
    made = prepare("image-folder", tmp_path / "sorted", tmp_path / "out", SMALL)
    assert made.rejects == {"conflict": 2}
    assert "1 pictures are there twice with different labels, all are left out" in made.repairs[0]
    assert "A/5.png and B/0.png: class A or B" in made.repairs[0]
    kept = PrepareOptions(size=16, workers=1, conflicts="keep-first")
    first = prepare("image-folder", tmp_path / "sorted", tmp_path / "first", kept)
    assert sum(first.counts.values()) == 11
    with pytest.raises(DataError, match="--strict allows no repairs"):
        prepare(
            "image-folder", tmp_path / "sorted", tmp_path / "strict", PrepareOptions(size=16, strict=True)
        )


def test_a_class_without_any_image_is_no_class(tmp_path: Path) -> None:
    for number in range(4):
        for name in "ABC":
            face(tmp_path / "sorted" / name / f"{number}.png", number + (50 if name == "A" else 0))
    made = prepare("image-folder", tmp_path / "sorted", tmp_path / "out", SMALL)
    assert made.class_counts == {"class": {"A": 4}}
    assert "No image is left of class B, class C: no label of the data set." in made.notes


def test_every_class_has_an_image_to_learn_from() -> None:
    names = ["happy"] * 40 + [f"rare{number}" for number in range(8)]
    records = [
        DatasetRecord(str(index), bytes, "", classes={"class": name}) for index, name in enumerate(names)
    ]
    told: list[str] = []
    for seed in range(10):
        splits, notes = assign_splits(records, ImageFolder(Config()), None, seed)
        assert {name for name, split in zip(names, splits, strict=True) if split == "train"} == set(names)
        told += notes
    assert any(note.startswith("Moved to train, to have one there: class rare") for note in told)
    official = [
        DatasetRecord(str(index), bytes, "", classes={"class": name}, split="test" if index else "train")
        for index, name in enumerate(["a", "b"])
    ]
    _, notes = assign_splits(official, ImageFolder(Config()), None, seed=0)
    assert "No image of class b is in train: it is not learnt." in notes


def test_too_few_people_for_every_part_are_told() -> None:
    records = [DatasetRecord(str(index), bytes, "", identity=str(index % 2)) for index in range(30)]
    splits, notes = assign_splits(records, ImageFolder(Config()), None, seed=0)
    assert set(splits) == {"train", "validation"}
    assert notes[-1] == "There are too few people for every part: test stayed empty."
    _, notes = assign_splits(records, ImageFolder(Config()), (0.5, 0.5, 0.0), seed=0)
    assert not any("too few" in note for note in notes)


def test_whole_pixels_survive_whatever_stands_in_their_exif(tmp_path: Path) -> None:
    plain = face(tmp_path / "0.png", 0)
    image = Image.open(plain)
    expected = np.asarray(image.convert("RGB"))
    for number, exif in enumerate(
        (
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0garbage",
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x09\0\0\0\x01",
        )
    ):
        path = tmp_path / f"exif{number}.png"
        image.save(path, exif=exif)
        found, _ = read_image(path.read_bytes())
        assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.int32), (12, np.uint16), (16, np.uint16)])
def test_fewer_bits_in_a_wider_type_are_scaled_and_told(tmp_path: Path, bits: int, dtype: type) -> None:
    grey = np.arange(256, dtype=np.int64).reshape(16, 16)
    wide = (grey << (bits - 8)) if bits < 16 else grey * 257
    Image.fromarray(wide.astype(dtype)).save(tmp_path / "a.tif")
    image, mended = read_image((tmp_path / "a.tif").read_bytes())
    assert np.array_equal(np.asarray(image)[..., 0], grey)
    assert mended == ("" if bits == 16 else f"{bits} bits in a wider type: scaled to 8")


def test_the_first_frame_that_shows_something_is_taken(tmp_path: Path) -> None:
    shown = Image.new("RGBA", (16, 16), (200, 30, 40, 255))
    blank = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    blank.save(tmp_path / "a.gif", save_all=True, append_images=[shown], disposal=2)
    image, mended = read_image((tmp_path / "a.gif").read_bytes())
    assert image.getpixel((8, 8)) == (200, 30, 40)
    assert mended == "frame 2 taken: those before are empty"


def test_formats_that_are_not_read_say_what_helps() -> None:
    with pytest.raises(DataError, match=r"HEIC is read with pip install 'facegen\[heic\]'"):
        read_image(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(DataError, match="JPEG XL is not read"):
        read_image(b"\xff\x0a" + bytes(200))


def test_the_summary_shows_what_was_read_and_three_examples(photos: Path, tmp_path: Path) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["prepare", "image-folder", str(photos), "--out", str(tmp_path / "out"), "--size", "16"]
    )
    assert result.exit_code == 0, result.stderr
    for words in ("Three of them", "0.png", "not Smiling", "Read as", "yes/no: Smiling", "account.csv"):
        assert words in result.stdout


@pytest.mark.real_faces
def test_the_real_copies_with_other_labels_are_named(real_faces: Path, tmp_path: Path) -> None:
    made = prepare(
        "utkface", real_faces / "utkface" / "UTKFace.tar.gz", tmp_path / "out", PrepareOptions(size=8)
    )
    assert "73 pictures are there twice with different labels" in made.repairs[0]
    assert made.rejects["conflict"] >= 2 * 73
