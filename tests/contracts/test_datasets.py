"""Every data set kind keeps its family's contract, whatever layout it reads."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from support.celeba_hq_source import jpeg, write_celeba_hq
from support.celeba_source import jpeg_bytes, write_celeba
from support.hub_server import hub_server, parquet_bytes
from support.marked_faces import FINDER, MarkedFace, marked_photo

from facegen.config.kinds import kind_config, kinds_of, load_kind
from facegen.errors import DataError, FacegenError
from facegen.formats.dataset import SPLITS
from facegen.progress import SilentProgress
from facegen.protocols import DatasetAdapter
from facegen.types import DatasetRecord


def write_utkface(root: Path) -> Path:
    root.mkdir()
    names = ("1_1_2_20170105174847679", "35_0_0_20170112213500903", "60_0_4_20170112213500904")
    for number, name in enumerate(names):
        (root / f"{name}.jpg.chip.jpg").write_bytes(jpeg(number))
    return root


def write_folders(root: Path) -> Path:
    for number in range(6):
        folder = root / ("happy" if number % 2 else "sad")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return root


def write_photos(root: Path) -> Path:
    root.mkdir()
    for number in range(3):
        marked_photo(MarkedFace(100, 100, 60, seed=number)).save(root / f"{number}.png")
    return root


SOURCES: dict[str, Callable[[Path], Path | None]] = {
    "avatars": lambda root: None,
    "celeba": write_celeba,
    "celeba_hq": lambda root: write_celeba_hq(root / "CelebAMask-HQ"),
    "hub": lambda root: Path("some-lab/faces"),
    "image_folder": write_folders,
    "photos": write_photos,
    "utkface": write_utkface,
}
OPTIONS = {"avatars": {"count": 4}, "photos": {"finder": FINDER}}


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A hub on the loopback with one small data set."""
    from huggingface_hub import constants

    images = [jpeg_bytes(number) for number in range(4)]
    table = {"image": images, "attr_smile": [True, False, True, False], "age": pa.array(range(4), pa.int64())}
    with hub_server() as server, pytest.MonkeyPatch.context() as patch:
        server.add("some-lab/faces", {"data/train-00000-of-00001.parquet": parquet_bytes(table, features={})})
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "ENDPOINT", server.url)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        yield


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    root = tmp_path_factory.mktemp("sources")
    return {kind: write(root / kind) for kind, write in SOURCES.items()}


def read(kind: str, source: Path | None) -> tuple[DatasetAdapter, list[DatasetRecord]]:
    config = kind_config("datasets", {"kind": kind.replace("_", "-"), **OPTIONS.get(kind, {})})
    adapter: DatasetAdapter = load_kind("datasets", config.kind).build(config)
    return adapter, list(adapter.records(source, SilentProgress()))


def test_every_data_set_kind_is_under_contract() -> None:
    assert set(SOURCES) == set(kinds_of("datasets"))


@pytest.mark.parametrize("kind", SOURCES)
def test_the_same_source_gives_the_same_records_in_order(kind: str, sources) -> None:
    first, again = (
        [
            (each.id, each.attributes, each.classes, each.split, each.identity, each.extra, each.load())
            for each in read(kind, sources[kind])[1]
        ]
        for _ in range(2)
    )
    assert first == again
    assert len({each[0] for each in first}) == len(first) >= 3


@pytest.mark.parametrize("kind", SOURCES)
def test_records_hold_pictures_and_labels_that_the_schema_knows(kind: str, sources) -> None:
    adapter, records = read(kind, sources[kind])
    labels = adapter.labels
    for record in records:
        with Image.open(io.BytesIO(record.load())) as image:
            image.load()
        assert set(record.attributes) <= set(labels.attributes)
        assert all(value in (True, False, None) for value in record.attributes.values())
        for name, value in record.classes.items():
            assert value is None or value in labels.classes[name]
        assert record.split in (None, *SPLITS)
        assert record.location


@pytest.mark.parametrize("kind", SOURCES)
def test_what_an_adapter_says_of_itself_can_be_used(kind: str, sources) -> None:
    adapter, _ = read(kind, sources[kind])
    assert sum(adapter.default_splits) == pytest.approx(1)
    assert adapter.crops
    for crop in adapter.crops.values():
        assert crop is None or (0 < crop[0] <= 1 and all(0 <= centre <= 1 for centre in crop[1:]))
    assert set(adapter.required_splits) <= set(SPLITS)
    assert adapter.medium in ("photo", "cartoon")
    assert all(isinstance(note, str) for note in adapter.notes)
    assert adapter.rejects == []


@pytest.mark.parametrize("kind", sorted(set(SOURCES) - {"avatars"}))
def test_a_source_that_holds_nothing_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FacegenError) as refused:
        read(kind, empty)
    assert str(empty) in str(refused.value)
    shutil.rmtree(empty)
    with pytest.raises(FacegenError):
        read(kind, empty)
    if kind != "hub":
        with pytest.raises(DataError):
            read(kind, empty)
