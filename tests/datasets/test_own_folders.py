"""Labels and layouts as people have them: each as it was meant, or refused with the option that decides."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from support.image_files import write_files

from facegen.datasets.image_folder import Config, ImageFolder
from facegen.errors import DataError, UsageError
from facegen.progress import SilentProgress
from facegen.types import DatasetRecord


def read(source: Path, **config: Any) -> tuple[ImageFolder, dict[str, DatasetRecord]]:
    adapter = ImageFolder(Config(**config))
    return adapter, {record.id: record for record in adapter.records(source, SilentProgress())}


def numbered(root: Path, count: int = 8) -> Path:
    return write_files(root, *(f"{number:03d}.jpg" for number in range(count)))


def table(root: Path, cells: list[Any], name: str = "metadata.csv", column: str = "Smiling") -> Path:
    rows = "".join(f"{number:03d}.jpg,{cell}\n" for number, cell in enumerate(cells))
    (root / name).write_text(f"file_name,{column}\n{rows}")
    return root


def smiles(records: dict[str, DatasetRecord]) -> list[Any]:
    return [record.attributes["Smiling"] for record in records.values()]


def test_zero_beside_a_column_of_three_is_refused_and_decided_by_an_option(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    (tmp_path / "metadata.csv").write_text("file_name,Smiling,Bald\n000.jpg,1,1\n001.jpg,0,0\n002.jpg,-1,1\n")
    with pytest.raises(DataError, match="column 'Bald': '0' may mean no, or not decided") as refused:
        read(tmp_path)
    assert "--columns yes-no:Bald=Bald or --columns yes-no-unknown:Bald=Bald" in str(refused.value)
    for form, meaning in (("yes-no", False), ("yes-no-unknown", None)):
        _, records = read(tmp_path, columns={"Bald": f"{form}:Bald"})
        assert records["001.jpg"].attributes == {"Smiling": None, "Bald": meaning}


def test_a_column_is_renamed_left_out_or_given_another_form(tmp_path: Path) -> None:
    numbered(tmp_path, 4)
    (tmp_path / "metadata.csv").write_text(
        "file_name,q7,age,mood\n000.jpg,1,20,a\n001.jpg,2,30,b\n002.jpg,3,40,a\n003.jpg,1,50,b\n"
    )
    adapter, records = read(tmp_path, columns={"q7": "class:emotion", "mood": "none"})
    assert adapter.labels.classes == {"emotion": ("1", "2", "3")}
    assert records["002.jpg"].extra == {"age": 40}
    assert any("columns left out: 'mood' (as asked)" in line for line in adapter.read_as)
    with pytest.raises(UsageError, match="There is no column 'q8'"):
        read(tmp_path, columns={"q8": "class:emotion"})
    with pytest.raises(UsageError, match=r"metadata.csv:2, column 'age': '20' cannot be read as yes-no"):
        read(tmp_path, columns={"age": "yes-no:age"})


def test_rows_that_repeat_count_once_and_conflicts_are_left_out(tmp_path: Path) -> None:
    table(numbered(tmp_path, 3), [1, 0, 1])
    with (tmp_path / "metadata.csv").open("a") as file:
        file.write("000.jpg,1\n001.jpg,1\n")
    adapter, records = read(tmp_path)
    assert list(records) == ["000.jpg", "002.jpg"]
    assert [reject.id for reject in adapter.rejects] == ["001.jpg"]
    assert any("1 rows of" in told and "repeat another word for word" in told for told in adapter.repairs)
    assert any("'001.jpg', lines 3 and 6" in told for told in adapter.repairs)


def test_a_table_that_fits_no_image_shows_both_sides(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    (tmp_path / "metadata.csv").write_text("file_name,Smiling\nface_1.png,1\nface_2.png,0\n")
    with pytest.raises(DataError, match="none of its 2 rows names an image") as refused:
        read(tmp_path)
    assert "names 'face_1.png' (column 'file_name'); the first image is '000.jpg'" in str(refused.value)
    assert "most like it '001.jpg'" in str(refused.value)


@pytest.mark.parametrize(
    "names", [["0", "1", "2"], ["000", "001", "002"], ["faces/000.jpg", "faces/001.jpg", "faces/002.jpg"]]
)
def test_numbers_stems_and_other_folders_name_images_too(tmp_path: Path, names: list[str]) -> None:
    numbered(tmp_path / "images", 3)
    rows = "".join(f"{name},{value}\n" for name, value in zip(names, (1, 0, 1), strict=True))
    (tmp_path / "legend.csv").write_text(f"image,Smiling\n{rows}")
    adapter, records = read(tmp_path)
    assert smiles(records) == [True, False, True]
    assert any("3 rows of" in told for told in adapter.repairs)


def test_a_name_that_means_two_images_is_not_guessed(tmp_path: Path) -> None:
    write_files(tmp_path, "a/1.jpg", "b/1.jpg", "b/2.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,Smiling\n1.jpg,1\n2.jpg,0\n")
    adapter, records = read(tmp_path)
    assert list(records) == ["b/2.jpg"]
    assert "1 metadata rows have no image (such as '1.jpg')" in adapter.notes[0]


def test_a_row_of_a_missing_image_is_not_taken_for_another_of_its_file_name(tmp_path: Path) -> None:
    write_files(tmp_path, "Bob/1.jpg", "Bob/2.jpg")
    rows = "Ann/1.jpg,0\nAnn/2.jpg,0\nBob/1.jpg,1\nBob/2.jpg,1\n"
    (tmp_path / "metadata.csv").write_text(f"file_name,Smiling\n{rows}")
    adapter, records = read(tmp_path)
    assert smiles(records) == [True, True]
    assert "2 metadata rows have no image (such as 'Ann/1.jpg')" in adapter.notes[0]


def test_numbers_of_rows_are_no_names_where_another_column_names_images(tmp_path: Path) -> None:
    numbered(tmp_path, 4)
    rows = "0,003.jpg,1\n1,gone.jpg,0\n2,002.jpg,0\n3,lost.jpg,0\n"
    (tmp_path / "metadata.csv").write_text(f"id,file_name,Smiling\n{rows}")
    _, records = read(tmp_path)
    assert {id: record.attributes["Smiling"] for id, record in records.items()} == {
        "003.jpg": True,
        "002.jpg": False,
    }


def test_a_table_of_something_else_that_numbers_its_rows_is_not_read(tmp_path: Path) -> None:
    numbered(tmp_path, 4)
    pd.DataFrame({"loss": [0.5, 0.4, 0.3, 0.2]}).to_csv(tmp_path / "log.csv")
    (tmp_path / "answers.csv").write_text("id,answer\n0,yes\n1,no\n2,no\n3,yes\n")
    adapter, records = read(tmp_path)
    assert not any(record.attributes or record.extra for record in records.values())
    assert sum("a table that names no image here" in line for line in adapter.read_as) == 2


def test_thousands_of_captions_beside_images_are_found_in_seconds(tmp_path: Path) -> None:
    names = [f"{number:05d}" for number in range(3000)]
    write_files(tmp_path, *(f"{name}{suffix}" for name in names for suffix in (".jpg", ".txt")))
    started = time.monotonic()
    _, records = read(tmp_path)
    assert time.monotonic() - started < 10  # every pair of files compared takes minutes
    assert records["00042.jpg"].caption == "00042.txt"


def test_two_tables_that_contradict_are_refused_and_one_is_chosen(tmp_path: Path) -> None:
    numbered(tmp_path, 2)
    table(tmp_path, [1, 0], "old.csv")
    table(tmp_path, [0, 0], "new.csv")
    with pytest.raises(DataError, match=r"both label images such as .*, and not alike[\s\S]*--labels FILE"):
        read(tmp_path)
    adapter, records = read(tmp_path, labels="new.csv")
    assert smiles(records) == [False, False]
    assert "new.csv" in adapter.read_as[0]


def test_a_table_outside_the_source_is_read_on_request(tmp_path: Path) -> None:
    faces = numbered(tmp_path / "faces", 2)
    table(tmp_path, [1, 0], "answers.csv")
    assert all(not record.attributes for record in read(faces)[1].values())
    adapter, records = read(faces, labels=str(tmp_path / "answers.csv"))
    assert smiles(records) == [True, False]
    assert adapter.files["answers.csv"] == "labels, from outside the source"
    with pytest.raises(UsageError, match=r"--labels 'none.csv': no such file"):
        read(faces, labels="none.csv")


def test_tables_that_are_not_read_are_named(tmp_path: Path) -> None:
    table(numbered(tmp_path, 2), [1, 0])
    (tmp_path / "prices.csv").write_text("item,price\napple,1\n")
    adapter, _ = read(tmp_path)
    assert any("prices.csv: not read, as there is metadata" in line for line in adapter.read_as)


def test_classes_that_differ_by_case_are_joined_and_told(tmp_path: Path) -> None:
    table(numbered(tmp_path, 5), ["HAPPY", "happy", "HAPPY", "sad", "Sad "], column="mood")
    adapter, records = read(tmp_path)
    assert adapter.labels.classes == {"mood": ("HAPPY", "Sad")}
    assert records["001.jpg"].classes == {"mood": "HAPPY"}
    assert "happy as HAPPY" in adapter.repairs[0]


def test_a_class_that_all_images_have_is_told_as_useless(tmp_path: Path) -> None:
    table(numbered(tmp_path, 4), ["face"] * 4, column="mood")
    adapter, _ = read(tmp_path)
    assert any("every image has 'face', so it tells nothing" in line for line in adapter.read_as)


def test_captions_and_classes_beside_images_are_read(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    for number in range(3):
        (tmp_path / f"{number:03d}.txt").write_text(f"person {number},\nsmiling\n")
        (tmp_path / f"{number:03d}.cls").write_text(str(number % 2))
        (tmp_path / f"{number:03d}.json").write_text(json.dumps({"Smiling": True, "boxes": [1, 2]}))
    adapter, records = read(tmp_path)
    assert records["001.jpg"].caption == "person 1, smiling"
    assert records["001.jpg"].classes == {"label": "1"}
    assert smiles(records) == [True, True, True]
    assert adapter.labels.attributes == ("Smiling",)


def test_people_are_kept_apart_on_request(tmp_path: Path) -> None:
    write_files(tmp_path, "Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg")
    _, records = read(tmp_path, layout="people")
    assert [record.identity for record in records.values()] == ["Ann", "Ann", "Bob"]
    assert not any(record.classes for record in records.values())


def test_many_folders_of_few_images_look_like_people(tmp_path: Path) -> None:
    write_files(tmp_path, *(f"person {number}/1.jpg" for number in range(60)))
    adapter, _ = read(tmp_path)
    assert any("--layout people" in line for line in adapter.read_as)


def test_shards_are_no_classes_but_folders_of_people_with_numbers_are(tmp_path: Path) -> None:
    shards = write_files(
        tmp_path / "a", *(f"{n // 4 * 1000:05d}/{n // 4 * 1000 + n % 4:05d}.png" for n in range(12))
    )
    adapter, records = read(shards)
    assert not any(record.classes for record in records.values())
    assert "so they are shards" in adapter.read_as[0]
    people = write_files(tmp_path / "b", *(f"{n // 4:07d}/{n % 4:03d}.png" for n in range(12)))
    adapter, records = read(people)
    assert adapter.labels.classes == {"class": ("0000000", "0000001", "0000002")}
    assert any("numbers as classes' names" in line for line in adapter.read_as)


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", "happy/1.jpg", "happy/2.jpg")
    faces = write_files(tmp_path / "faces", "sad/3.jpg")
    (faces / "happy").symlink_to(tmp_path / "elsewhere" / "happy")
    (faces / "sad" / "again").symlink_to(faces)
    adapter, records = read(faces)
    assert adapter.labels.classes == {"class": ("happy", "sad")}
    assert len(records) == 3
    assert adapter.files["faces/sad/again/"] == "a link to a folder that is read already"


def test_a_pipe_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    numbered(tmp_path, 2)
    os.mkfifo(tmp_path / "pipe.jpg")
    adapter, records = read(tmp_path)
    assert len(records) == 2
    assert adapter.files[f"{tmp_path.name}/pipe.jpg"] == "no file: a pipe, socket or device"


def test_archives_with_dots_backslashes_and_links_inside_are_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar.xz", "w:xz") as archive:
        for name in ("./happy/1.jpg", "./sad/2.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
        for name, kind, target in (
            ("./sad/3.jpg", tarfile.LNKTYPE, "./happy/1.jpg"),
            ("./sad/4.jpg", tarfile.SYMTYPE, "2.jpg"),
            ("./sad/5.jpg", tarfile.SYMTYPE, "9.jpg"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
    adapter, records = read(tmp_path / "faces.tar.xz")
    assert {id: record.load() for id, record in records.items()} == {
        "happy/1.jpg": b"./happy/1.jpg",
        "sad/2.jpg": b"./sad/2.jpg",
        "sad/3.jpg": b"./happy/1.jpg",
        "sad/4.jpg": b"./sad/2.jpg",
    }
    assert adapter.files["faces.tar.xz/sad/5.jpg"] == "a link to nothing in the archive"
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as file:
        for number, folder in enumerate(("train\\happy", "train\\sad", "val\\sad")):
            info = zipfile.ZipInfo("x")
            info.filename = f"dataset\\{folder}\\{number}.jpg"
            file.writestr(info, b"x")
    adapter, records = read(tmp_path / "windows.zip")
    assert [record.split for record in records.values()] == ["train", "train", "validation"]
    assert adapter.labels.classes == {"class": ("happy", "sad")}


def test_names_that_are_no_utf8_are_spelt_out(tmp_path: Path) -> None:
    numbered(tmp_path, 1)
    with open(os.path.join(os.fsencode(tmp_path), "Müller.jpg".encode("latin-1")), "wb") as file:
        file.write(b"x")
    _, records = read(tmp_path)
    assert sorted(records) == ["000.jpg", "M\\xfcller.jpg"]
    assert records["M\\xfcller.jpg"].load() == b"x"


def test_images_are_found_by_their_bytes_where_names_say_nothing(tmp_path: Path) -> None:
    for name in ("a", "b.jpg_large", "c.jfif"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="JPEG")
    (tmp_path / "Makefile").write_text("all:\n")
    adapter, records = read(tmp_path)
    assert sorted(records) == ["a", "b.jpg_large", "c.jfif"]
    assert adapter.files == {f"{tmp_path.name}/Makefile": "not an image"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_line_separators_inside_captions_do_not_end_a_row(tmp_path: Path, encoding: str) -> None:
    numbered(tmp_path, 2)
    rows = [{"file_name": f"00{n}.jpg", "text": f"a man,\u2028number {n} \x85"} for n in range(2)]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "metadata.jsonl").write_bytes(text.encode(encoding))
    _, records = read(tmp_path)
    assert records["001.jpg"].caption is not None
    assert records["001.jpg"].caption.startswith("a man,\u2028number 1")


def test_text_that_is_no_utf8_is_refused_by_line(tmp_path: Path) -> None:
    numbered(tmp_path, 2)
    (tmp_path / "metadata.csv").write_bytes("file_name,mood\n000.jpg,a\n001.jpg,fröhlich\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata.csv:3: not UTF-8 text"):
        read(tmp_path)


def test_celebas_table_saved_again_by_pandas_is_read(tmp_path: Path) -> None:
    numbered(tmp_path, 4)
    frame = pd.DataFrame({"image_id": [f"00{n}.jpg" for n in range(4)], "Smiling": [1.0, 0.0, None, 1.0]})
    frame.to_csv(tmp_path / "list_attr.csv", sep=";")
    adapter, records = read(tmp_path)
    assert smiles(records) == [True, False, None, True]
    assert "separated by semicolons" in adapter.read_as[0]
