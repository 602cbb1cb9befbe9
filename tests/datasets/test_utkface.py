from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from facegen.datasets.utkface import Config, UtkFace, age_group
from facegen.errors import DataError
from facegen.progress import SilentProgress

NAMES = [
    "1_1_2_20170105174847679.jpg.chip.jpg",
    "35_0_0_20170112213500903.jpg.chip.jpg",
    "60_0_4_20170112213500904.jpg.chip.jpg",
]
IRREGULAR = [
    "61_1_20170109142408075.jpg.chip.jpg",
    "44_1_4_2017 .jpg.chip.jpg",
    "500_1_4_20170101.jpg.chip.jpg",
]


def write_folder(root: Path) -> Path:
    root.mkdir()
    for name in [*NAMES, *IRREGULAR]:
        (root / name).write_bytes(name.encode())
    return root


def read(source: Path) -> tuple[UtkFace, list]:
    adapter = UtkFace(Config())
    return adapter, list(adapter.records(source, SilentProgress()))


def test_labels_come_from_the_names(tmp_path: Path) -> None:
    _adapter, records = read(write_folder(tmp_path / "UTKFace"))
    assert [record.classes for record in records] == [
        {"gender": "Female", "race": "Asian", "age_group": "Child"},
        {"gender": "Male", "race": "White", "age_group": "Young_Adult"},
        {"gender": "Male", "race": "Others", "age_group": "Senior"},
    ]
    assert [record.attributes["Male"] for record in records] == [False, True, True]
    assert [record.extra["age"] for record in records] == [1, 35, 60]


def test_irregular_names_become_rejects_with_a_reason(tmp_path: Path) -> None:
    adapter, _ = read(write_folder(tmp_path / "UTKFace"))
    assert sorted(reject.id for reject in adapter.rejects) == sorted(IRREGULAR)
    assert all(reject.reason.startswith("irregular name") for reject in adapter.rejects)


@pytest.mark.parametrize("packed", ["UTKFace.tar.gz", "UTKFace.tar"])
def test_an_archive_gives_the_same_records_as_its_folder(tmp_path: Path, packed: str) -> None:
    folder = write_folder(tmp_path / "UTKFace")
    with tarfile.open(tmp_path / packed, "w:gz" if packed.endswith("gz") else "w") as archive:
        archive.add(folder, "UTKFace")
    expected = [(record.id, record.load()) for record in read(folder)[1]]
    assert [(record.id, record.load()) for record in read(tmp_path / packed)[1]] == expected


def test_a_folder_of_other_images_is_not_taken_for_utkface(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none is named as in UTKFace.*\n.*'a.jpg'"):
        read(tmp_path)


def _tar_with(path: Path, entry: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    return path


def test_tars_that_point_outside_or_hold_links_are_refused(tmp_path: Path) -> None:
    for name in ("../evil.jpg", "/etc/evil.jpg"):
        entry = tarfile.TarInfo(name)
        entry.size = 1
        with pytest.raises(DataError, match="points outside"):
            read(_tar_with(tmp_path / "a.tar.gz", entry))
    link = tarfile.TarInfo("UTKFace/link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DataError, match="is a link that points outside"):
        read(_tar_with(tmp_path / "b.tar.gz", link))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "b.tar.gz"]


def test_a_tar_that_unfolds_hugely_is_refused(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("bomb.jpg")
    entry.size = 8 << 20
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    with pytest.raises(DataError, match="times its size"):
        read(tmp_path / "bomb.tar.gz")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "UTKFace.tar.gz").write_bytes(b"\x1f\x8b not a gzip")
    with pytest.raises(DataError, match=r"UTKFace.tar.gz' is damaged"):
        read(tmp_path / "UTKFace.tar.gz")


def test_age_groups_meet_without_gap() -> None:
    assert [age_group(age) for age in (0, 12, 13, 19, 20, 35, 36, 59, 60, 116)] == [
        *["Child"] * 2,
        *["Teenager"] * 2,
        *["Young_Adult"] * 2,
        *["Middle_Aged"] * 2,
        *["Senior"] * 2,
    ]


@pytest.mark.real_faces
def test_the_five_irregular_names_of_the_real_set_are_found(real_faces: Path) -> None:
    adapter, records = read(real_faces / "utkface" / "UTKFace.tar.gz")
    assert (len(records), len(adapter.rejects)) == (7014, 5)
