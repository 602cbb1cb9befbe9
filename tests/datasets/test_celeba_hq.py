from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.celeba_hq_source import NUM_IMAGES, jpeg, original_of, write_celeba_hq, write_celeba_tables

from facegen.config.kinds import kind_config, load_kind
from facegen.datasets._celeba_tables import parse_mapping
from facegen.datasets.celeba_hq import CelebAHq, Config
from facegen.errors import DataError
from facegen.formats.dataset import Dataset
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress

MAPPING = "idx         orig_idx    orig_file\n0           119613      119614.jpg\n1   99094   099095.jpg\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_celeba_hq(tmp_path / "data" / "CelebAMask-HQ")


def read(
    source: Path, *, strict: bool = False, labels: Path | None = None
) -> tuple[CelebAHq, list, SilentProgress]:
    adapter = CelebAHq(Config(strict=strict, labels=None if labels is None else str(labels)))
    progress = SilentProgress()
    return adapter, list(adapter.records(source, progress)), progress


def facts(source: Path, labels: Path | None = None) -> list[tuple]:
    return [
        (record.id, record.attributes, record.split, record.identity, record.load())
        for record in read(source, labels=labels)[1]
    ]


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{folder.name}/{path.relative_to(folder)}")
    return archive


def test_the_official_layout_is_read_in_the_order_of_its_numbers(source: Path) -> None:
    adapter, records, _ = read(source)
    assert [record.id for record in records] == [str(number) for number in range(NUM_IMAGES)]
    assert adapter.labels.attributes == ("Blond_Hair", "Eyeglasses", "Male", "Smiling", "Young")
    assert records[10].attributes == {
        "Blond_Hair": False,
        "Eyeglasses": True,
        "Male": False,
        "Smiling": True,
        "Young": False,
    }
    assert records[10].load() == jpeg(10)
    assert records[10].extra == {"celeba_file": original_of(10)}


def test_parent_folder_and_zip_give_the_same_records(source: Path) -> None:
    tables = source.parent / "celeba"
    write_celeba_tables(tables)
    expected = facts(source, tables)
    assert facts(source.parent) == expected
    archive = zipped(source, source.parent / "CelebAMask-HQ.zip")
    shutil.rmtree(source)
    assert facts(archive, tables) == expected


def test_the_image_folder_alone_reads_the_texts_beside_it_on_request(source: Path) -> None:
    write_celeba_tables(source)
    images = source / "CelebA-HQ-img"
    assert facts(images, source) == facts(source)
    adapter, records, _ = read(images)
    assert records[0].attributes == {}
    assert "Beside the source there is one: --labels" in adapter.notes[0]


@pytest.mark.parametrize("place", ["CelebAMask-HQ", "celeba", "."])
def test_celebas_identities_and_partition_come_by_the_mapping(source: Path, place: str) -> None:
    write_celeba_tables(source.parent / place)
    adapter, records, _ = read(source, labels=source.parent / place)
    assert [record.identity for record in records] == [str(100 + number // 2) for number in range(NUM_IMAGES)]
    assert [record.split for record in records] == ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    assert any("CelebA's identities from" in line for line in adapter.read_as)
    assert any("CelebA's partition from" in line for line in adapter.read_as)


def test_without_celebas_tables_people_are_unknown_and_it_is_said(source: Path, tmp_path: Path) -> None:
    adapter, records, progress = read(source)
    assert {(record.split, record.identity) for record in records} == {(None, None)}
    assert progress.warned == adapter.notes
    assert any(note.startswith("No identity_CelebA.txt of CelebA") for note in adapter.notes)
    summary = prepare("celeba-hq", source, tmp_path / "out", PrepareOptions(size=32, workers=1))
    assert "No identities are known" in summary.notes[-1]
    (source / "CelebA-HQ-to-CelebA-mapping.txt").unlink()
    write_celeba_tables(source)
    adapter, records, _ = read(source)
    assert records[0].identity is None
    assert "celeba_file" not in records[0].extra
    assert any(note.startswith("No CelebA-HQ-to-CelebA-mapping.txt") for note in adapter.notes)


def test_nobody_is_in_two_parts_when_shares_are_asked_for(source: Path, tmp_path: Path) -> None:
    write_celeba_tables(source)
    options = PrepareOptions(size=32, workers=1, splits=(0.5, 0.25, 0.25))
    prepare("celeba-hq", source, tmp_path / "out", options)
    dataset = Dataset.open(tmp_path / "out")
    people = [set(dataset.split(name).frame["identity"]) for name in ("train", "validation", "test")]
    assert sum(map(len, people)) == len(set.union(*people)) == NUM_IMAGES // 2


def test_images_alone_are_unlabelled_faces(tmp_path: Path) -> None:
    (tmp_path / "in" / "part").mkdir(parents=True)
    names = ["00000.png", "00002.png", "part/00010.png", "part/visage é.png"]
    for number, name in enumerate(names):
        (tmp_path / "in" / name).write_bytes(jpeg(number))
    adapter, records, _ = read(tmp_path / "in")
    assert [record.id for record in records] == ["00000", "00002", "00010", "visage é"]
    assert adapter.labels.attributes == ()
    assert any("images without labels" in note for note in adapter.notes)
    options = PrepareOptions(size=32, workers=1, splits=(1, 0, 0))
    prepare("celeba-hq", tmp_path / "in", tmp_path / "out", options)
    assert set(Dataset.open(tmp_path / "out").split("train").frame["caption"]) == {"A photo of a face"}


def test_a_list_of_attributes_beside_plain_images_is_used(source: Path, tmp_path: Path) -> None:
    images = source / "CelebA-HQ-img"
    for path in list(images.iterdir()):
        path.rename(images / f"{int(path.stem):05d}.png")
    images.rename(source / "images1024")
    _, records, _ = read(source)
    assert [record.id for record in records] == [f"{number:05d}" for number in range(NUM_IMAGES)]
    assert records[3].attributes["Eyeglasses"] is True
    assert records[3].extra == {"celeba_file": original_of(3)}


def test_two_images_of_one_number_are_not_taken_for_one(source: Path) -> None:
    (source / "CelebA-HQ-img" / "00003.png").write_bytes(jpeg(99))
    adapter, records, _ = read(source)
    assert len(records) == NUM_IMAGES
    assert [reject.id for reject in adapter.rejects] == ["CelebA-HQ-img/3.jpg"]
    assert "second image 3" in adapter.rejects[0].reason


def test_rows_without_images_and_images_without_rows_are_counted(source: Path) -> None:
    images = source / "CelebA-HQ-img"
    (images / "0.jpg").unlink()
    (images / "1.jpg").rename(images / "777.jpg")
    _, records, progress = read(source)
    assert len(records) == NUM_IMAGES - 2
    assert "2 rows have no image (such as '0') and 1 images have no row" in progress.warned[-1]
    with pytest.raises(DataError, match="2 rows have no image"):
        read(source, strict=True)


def test_masks_are_not_taken_for_faces(source: Path) -> None:
    shutil.rmtree(source / "CelebA-HQ-img")
    with pytest.raises(DataError, match=r"No images of CelebA-HQ[\s\S]*Looked for CelebA-HQ-img/"):
        read(source)


def test_damaged_and_oblong_images_are_listed_and_the_rest_prepared(source: Path, tmp_path: Path) -> None:
    images = source / "CelebA-HQ-img"
    (images / "0.jpg").write_bytes(b"")
    (images / "1.jpg").write_bytes(jpeg(1)[:200])
    (images / "2.jpg").write_bytes(jpeg(2, (96, 60)))
    summary = prepare("celeba-hq", source, tmp_path / "out", PrepareOptions(size=32, workers=1))
    assert sum(summary.rejects.values()) == 3
    assert sum(summary.counts.values()) == NUM_IMAGES - 3


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg"])
def test_an_archive_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "CelebAMask-HQ.zip", "w") as file:
        file.writestr(name, jpeg(0))
    with pytest.raises(DataError, match="points outside"):
        read(tmp_path / "CelebAMask-HQ.zip")


def test_the_mapping_is_read_with_spaces_commas_or_crlf() -> None:
    expected = {0: "119614.jpg", 1: "099095.jpg"}
    assert parse_mapping(MAPPING, "m.txt") == expected
    odd = "\ufeffidx, orig_idx, orig_file\r\n0,119613,119614.jpg\r\n\r\n1\t99094\t099095.jpg\r\n"
    assert parse_mapping(odd, "m.txt") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"m.txt: the file is empty"),
        (MAPPING.partition("\n")[2], r"m.txt: the header 'idx orig_idx orig_file' is missing"),
        (MAPPING.replace("99094 ", ""), r"m.txt:3: 2 values where 3 belong"),
        (MAPPING.replace("99094", "many"), r"m.txt:3: .* is not two numbers and a numbered file"),
        (MAPPING.replace("99094", "99095"), r"m.txt:3: index 99095 does not belong to '099095.jpg'"),
        (MAPPING.replace("\n1  ", "\n0  "), r"m.txt:3: '0' stands there twice"),
        (MAPPING.replace("099095", "../099095"), r"m.txt:3: '../099095.jpg' points outside"),
    ],
)
def test_malformed_mappings_are_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_mapping(text, "m.txt")


@given(st.data())
def test_no_mapping_however_broken_ends_in_anything_but_a_data_error(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(MAPPING)))
    end = data.draw(st.integers(start, len(MAPPING)))
    broken = MAPPING[:start] + data.draw(st.text(max_size=6)) + MAPPING[end:]
    try:
        mapping = parse_mapping(broken, "m.txt")
    except DataError:
        return
    assert all("/" not in file for file in mapping.values())


def test_captions_are_the_same_for_an_image_in_any_run_and_order(source: Path, tmp_path: Path) -> None:
    """Prepared whole, prepared again, and prepared from a part of the images in another order."""

    def captions(folder: Path, out: Path, **options) -> dict[str, list[str]]:
        prepare("celeba-hq", folder, out, PrepareOptions(size=16, workers=1, splits=(0.5, 0.5, 0), **options))
        frames = [Dataset.open(out).split(name).frame for name in ("train", "validation")]
        pairs = [zip(frame["id"], frame["captions"], strict=True) for frame in frames]
        return {id: list(captions) for part in pairs for id, captions in part}

    first = captions(source, tmp_path / "a")
    assert captions(source, tmp_path / "b", seed=5) == first
    assert len(first) == NUM_IMAGES
    assert all(len(set(many)) == len(many) >= 2 for many in first.values())
    assert first["10"][0] == "A photo of a woman with glasses, smiling"
    table = source / "CelebAMask-HQ-attribute-anno.txt"
    count, header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([count, header, *reversed(rows)]))
    for number in (0, 3, 4):
        (source / "CelebA-HQ-img" / f"{number}.jpg").unlink()
    some = captions(source, tmp_path / "c", limit=6)
    assert some == {id: first[id] for id in some}
    assert len(some) == 6


def test_the_kind_is_found_by_its_name() -> None:
    config = kind_config("datasets", {"kind": "celeba-hq"})
    adapter = load_kind("datasets", "celeba-hq").build(config)
    assert next(iter(adapter.crops)) == "none"
    assert "non-commercial research" in adapter.licence
