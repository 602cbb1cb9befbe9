from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from support.image_files import write_files

from facegen.datasets.image_folder import Config, ImageFolder
from facegen.errors import DataError
from facegen.progress import SilentProgress

STRANGE = "笑顔 é.jpg"


def read(source: Path, *, strict: bool = False) -> tuple[ImageFolder, dict]:
    adapter = ImageFolder(Config(strict=strict))
    return adapter, {record.id: record for record in adapter.records(source, SilentProgress())}


def test_a_folder_per_class_is_read(tmp_path: Path) -> None:
    adapter, records = read(
        write_files(tmp_path, f"happy/{STRANGE}", "sad/b.png", "sad/deeper/c.png", ".DS_Store")
    )
    assert adapter.labels.classes == {"class": ("happy", "sad")}
    assert {id: record.classes["class"] for id, record in records.items()} == {
        f"happy/{STRANGE}": "happy",
        "sad/b.png": "sad",
        "sad/deeper/c.png": "sad",
    }
    assert records[f"happy/{STRANGE}"].load() == f"happy/{STRANGE}".encode()


def test_train_and_val_folders_are_splits(tmp_path: Path) -> None:
    adapter, records = read(write_files(tmp_path, "train/happy/a.jpg", "train/sad/b.jpg", "val/sad/c.jpg"))
    assert {id: record.split for id, record in records.items()} == {
        "train/happy/a.jpg": "train",
        "train/sad/b.jpg": "train",
        "val/sad/c.jpg": "validation",
    }
    assert adapter.labels.classes == {"class": ("happy", "sad")}


def test_plain_images_have_no_labels(tmp_path: Path) -> None:
    adapter, records = read(write_files(tmp_path, "a.jpg", "b.jpg"))
    assert adapter.labels.classes == {}
    assert [record.split for record in records.values()] == [None, None]


def test_metadata_columns_are_told_apart_by_their_values(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jpg", f"more/{STRANGE}", "c.jpg", "d.jpg")
    (tmp_path / "metadata.csv").write_text(
        "\ufefffile_name,Smiling,mood,age,height,text,identity,remark\n"
        'a.jpg,1,glad,20,1.5,"A face, seen from afar",7,w\n'
        f"more/{STRANGE},-1,glum,30,2,,7,x\n"
        "c.jpg,,glad,,1,b,8,y\n"
        "d.jpg,0,glad,5,1,b,9,z\n",
        encoding="utf-8",
    )
    adapter, records = read(tmp_path)
    assert adapter.labels.attributes == ("Smiling",)
    assert adapter.labels.classes == {"mood": ("glad", "glum")}
    smiling = [record.attributes["Smiling"] for record in records.values()]
    assert smiling == [True, False, None, None]  # beside 1 and -1, 0 is "not decided"
    assert records["a.jpg"].caption == "A face, seen from afar"
    assert records["a.jpg"].identity == "7"
    assert records["a.jpg"].extra == {"age": 20, "height": 1.5, "remark": "w"}
    assert records["c.jpg"].extra["age"] is None


def test_json_lines_in_split_folders_are_read(tmp_path: Path) -> None:
    write_files(tmp_path, "train/a.jpg", "test/b.jpg")
    for name, label in (("train/a.jpg", True), ("test/b.jpg", False)):
        row = {"file_name": name.split("/")[1], "Bald": label}
        (tmp_path / name).with_name("metadata.jsonl").write_text(json.dumps(row) + "\n")
    adapter, records = read(tmp_path)
    assert adapter.labels.attributes == ("Bald",)
    assert {id: (record.split, record.attributes["Bald"]) for id, record in records.items()} == {
        "train/a.jpg": ("train", True),
        "test/b.jpg": ("test", False),
    }


def test_gaps_between_metadata_and_images_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,Bald\na.jpg,1\nmissing.jpg,0\n")
    adapter, records = read(tmp_path)
    assert list(records) == ["a.jpg"]
    assert (
        "1 metadata rows have no image (such as 'missing.jpg') and 1 images have no metadata row"
        in adapter.notes[0]
    )
    with pytest.raises(DataError, match="1 metadata rows"):
        read(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../secret.jpg,1", r"metadata.csv:2: '../secret.jpg' points outside"),
        ("/etc/secret.jpg,1", r"metadata.csv:2: '/etc/secret.jpg' points outside"),
        ("a.jpg", r"metadata.csv:2: 1 values where 2 belong"),
    ],
)
def test_bad_metadata_rows_are_refused_by_line(tmp_path: Path, row: str, message: str) -> None:
    write_files(tmp_path, "a.jpg")
    (tmp_path / "metadata.csv").write_text(f"file_name,Bald\n{row}\n")
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_zip_is_read_without_extracting_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr(f"faces/glad/{STRANGE}", b"1")
        archive.writestr("faces/sad/b.jpg", b"2")
        archive.writestr("__MACOSX/faces/._b.jpg", b"3")
    adapter, records = read(tmp_path / "faces.zip")
    assert adapter.labels.classes == {"class": ("glad", "sad")}
    assert [record.load() for record in records.values()] == [b"1", b"2"]
    assert [path.name for path in tmp_path.iterdir()] == ["faces.zip"]


def test_zips_that_point_outside_or_hold_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    for entry, data in (
        ("../evil.jpg", b"x"),
        ("/evil.jpg", b"x"),
        (link, b"../secret"),
        (link, b"/etc/passwd"),
    ):
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            archive.writestr(entry, data)
        with pytest.raises(DataError, match="points outside"):
            read(tmp_path / "faces.zip")


def test_a_zip_bomb_is_not_unfolded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(32 << 20))
    _, records = read(tmp_path / "faces.zip")
    with pytest.raises(DataError, match="would unfold"):
        records["bomb.jpg"].load()


def test_an_empty_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No images in .*\n.*\.jpg"):
        read(tmp_path)
