from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.datasets._celeba_tables import parse_attributes, parse_identities, parse_partition
from facegen.datasets.celeba import CelebA, Config
from facegen.errors import DataError, UsageError
from facegen.progress import SilentProgress

TABLE = "2\nBald Smiling \n000001.jpg  1 -1\n000002.jpg -1  1\n"


def read(
    source: Path, *, strict: bool = False, labels: Path | None = None
) -> tuple[CelebA, list, SilentProgress]:
    adapter = CelebA(Config(strict=strict, labels=None if labels is None else str(labels)))
    progress = SilentProgress()
    return adapter, list(adapter.records(source, progress)), progress


def test_official_folder_is_read(celeba_source: Path) -> None:
    adapter, records, progress = read(celeba_source)
    assert [record.id for record in records] == [f"{number:06d}" for number in range(1, 13)]
    assert adapter.labels.attributes == ("Bald", "Eyeglasses", "Male", "Smiling", "Young")
    assert records[3].attributes["Bald"] is True
    assert records[3].attributes["Male"] is False
    assert [record.split for record in records[7:]] == ["train", *["validation"] * 2, *["test"] * 2]
    assert records[2].identity == "1"
    assert progress.warned == []


def test_parent_folder_and_image_folder_are_read_too(celeba_source: Path) -> None:
    expected = [record.attributes for record in read(celeba_source)[1]]
    images = celeba_source / "img_align_celeba"
    for source, labels in ((celeba_source.parent, None), (images, celeba_source)):
        assert [record.attributes for record in read(source, labels=labels)[1]] == expected


def test_tables_beside_the_source_are_read_on_request_only(celeba_source: Path) -> None:
    images = celeba_source / "img_align_celeba"
    with pytest.raises(DataError, match="Beside the source there is one: --labels"):
        read(images)
    adapter, _, _ = read(images, labels=celeba_source)
    assert adapter.files["celeba/list_attr_celeba.txt"] == "labels, from outside the source"
    assert "attributes from celeba/list_attr_celeba.txt" in adapter.read_as
    with pytest.raises(UsageError, match="holds none of list_attr_celeba"):
        read(images, labels=images)


def test_zip_of_images_beside_its_texts_is_read(celeba_source: Path) -> None:
    archive = celeba_source / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((celeba_source / "img_align_celeba").iterdir()):
            file.write(path, f"img_align_celeba/{path.name}")
    expected = [record.load() for record in read(celeba_source)[1]]
    shutil.rmtree(celeba_source / "img_align_celeba")
    for source, labels in ((archive, celeba_source), (celeba_source, None)):
        assert [record.load() for record in read(source, labels=labels)[1]] == expected


def test_kaggles_csv_and_doubled_folder_are_read(celeba_source: Path) -> None:
    expected = [(record.id, record.attributes, record.split) for record in read(celeba_source)[1]]
    images = celeba_source / "img_align_celeba"
    images.rename(celeba_source / "inner")
    images.mkdir()
    (celeba_source / "inner").rename(images / "img_align_celeba")
    _, header, *rows = (celeba_source / "list_attr_celeba.txt").read_text().splitlines()
    lines = [",".join(["image_id", *header.split()]), *(",".join(row.split()) for row in rows)]
    (celeba_source / "list_attr_celeba.csv").write_text("\r\n".join(lines))
    partition = (celeba_source / "list_eval_partition.txt").read_text()
    (celeba_source / "list_eval_partition.csv").write_text(
        "image_id,partition\n" + partition.replace(" ", ",")
    )
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (celeba_source / name).unlink()
    assert [(record.id, record.attributes, record.split) for record in read(celeba_source)[1]] == expected


def test_rows_without_images_and_images_without_rows_are_counted(celeba_source: Path) -> None:
    images = celeba_source / "img_align_celeba"
    (images / "000001.jpg").unlink()
    (images / "000002.jpg").rename(images / "777777.jpg")
    _, records, progress = read(celeba_source)
    assert len(records) == 10
    assert (
        "2 rows have no image (such as '000001') and 1 images have no row and are left out (such as '777777')"
        in progress.warned[0]
    )
    with pytest.raises(DataError, match="2 rows have no image"):
        read(celeba_source, strict=True)


def test_a_missing_table_is_named_with_what_was_looked_for(celeba_source: Path) -> None:
    (celeba_source / "list_attr_celeba.txt").unlink()
    with pytest.raises(DataError, match=r"list_attr_celeba.txt or list_attr_celeba.csv"):
        read(celeba_source)


def test_a_folder_without_images_is_explained(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"img_align_celeba.zip"):
        read(tmp_path / "in")


def test_odd_but_readable_tables_are_read(celeba_source: Path) -> None:
    odd = "\ufeff3\r\nBald, Smiling\r\n000001.jpg, 1,-1\r\n\r\n000002.jpg -1\t1\r\n"
    table = parse_attributes(odd, "list.txt")
    assert table.rows == {"000001.jpg": (True, False), "000002.jpg": (False, True)}
    assert table.notes == ("list.txt says 3 rows and holds 2.",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("-1  1", "-1"), r"list.txt:4: 2 values where 3 belong"),
        (TABLE.replace("-1  1", "-1  x"), r"list.txt:4, column 'Smiling': 'x' is not 1 or -1"),
        (TABLE.replace("000002", "../../x"), r"list.txt:4: '../../x.jpg' points outside"),
        (TABLE.replace("000002", "000001"), r"list.txt:4: '000001.jpg' stands there twice"),
        (TABLE.replace("Bald Smiling \n", ""), r"list.txt: the line with the attributes' names is missing"),
        (TABLE.replace("Bald", "Smiling"), r"list.txt:2: two columns are called 'Smiling'"),
        ("", r"list.txt: the file is empty"),
        ("12\n", r"list.txt: the file is empty or ends"),
    ],
)
def test_malformed_tables_are_refused_by_line_and_column(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_attributes(text, "list.txt")


def test_malformed_partitions_and_identities_are_refused() -> None:
    with pytest.raises(DataError, match=r"p.txt:2: partition '3'"):
        parse_partition("000001.jpg 0\n000002.jpg 3\n", "p.txt")
    with pytest.raises(DataError, match=r"i.txt:1: identity 'Ann'"):
        parse_identities("000001.jpg Ann\n", "i.txt")


@given(st.data())
def test_no_table_however_broken_ends_in_anything_but_a_data_error(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TABLE)))
    end = data.draw(st.integers(start, len(TABLE)))
    broken = TABLE[:start] + data.draw(st.text(max_size=6)) + TABLE[end:]
    try:
        table = parse_attributes(broken, "list.txt")
    except DataError:
        return
    assert all(len(row) == len(table.names) for row in table.rows.values())


@pytest.mark.real_faces
def test_the_real_table_and_its_lying_count_line_are_read(real_faces: Path) -> None:
    adapter, records, _ = read(real_faces / "celeba")
    assert (len(adapter.labels.attributes), len(records)) == (40, 7949)
    assert adapter.notes == [
        "list_attr_celeba.txt says 202,599 rows and holds 20,000.",
        "'celeba': 12,051 rows have no image (such as '000005'); 7,949 match.",
    ]
