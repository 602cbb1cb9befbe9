"""Readers of what people bring: tables of labels, names, archives, parquet, the hub."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image
from support.fuzzed import mutations
from support.fuzzed.mutations import DEEP, EDITS, LAUGHS
from support.fuzzed.reader import Read, Reader, from_file, plainly
from support.hub_server import hub_server, parquet_bytes

from facegen.datasets._archives import list_archive
from facegen.datasets._celeba_tables import parse_attributes, parse_identities, parse_mapping, parse_partition
from facegen.datasets._hub_files import choose_files, open_folder, open_hub
from facegen.datasets._tables import read_text
from facegen.datasets.celeba_hq import CelebAHq
from facegen.datasets.celeba_hq import Config as CelebAHqConfig
from facegen.datasets.hub import Config as HubConfig
from facegen.datasets.hub import Hub
from facegen.datasets.image_folder import Config as ImageFolderConfig
from facegen.datasets.image_folder import ImageFolder
from facegen.datasets.utkface import Config as UtkFaceConfig
from facegen.datasets.utkface import UtkFace
from facegen.formats.images import pil_to_png, read_image
from facegen.progress import SilentProgress
from facegen.protocols import DatasetAdapter

PICTURE = pil_to_png(Image.new("RGB", (4, 4), "green"))
IMAGES = {f"{number}.png": PICTURE for number in range(1, 5)}
ATTRIBUTES = "3\nSmiling Male Young\n000001.jpg -1  1 -1\n000002.jpg  1 -1  1\n000003.jpg  0 1 1\n"
ATTRIBUTES_CSV = "image_id,Smiling,Male\n000001.jpg,-1,1\n000002.jpg,1,-1\n000003.jpg,1,-1\n"
PARTITION = "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"
IDENTITIES = "000001.jpg 2880\n000002.jpg 2937\n"
MAPPING = "idx         orig_idx    orig_file\n0           119613      119614.jpg\n1   99094   099095.jpg\n"
METADATA = [
    "file_name,Smiling,race,age,text\n1.png,1,Asian,20,A face\n2.png,0,White,31,\n3.png,,Asian,4,A man\n",
    "image;label\n1;0\n2;1\n3;0\n4;1\n",
    "\tname\tsplit\tidentity\n0\t1.png\ttrain\tann\n1\t2.png\ttest\tbob\n",
    "id|mood|height\n1|happy|1,80\n2|sad|1,61\n",
]
LINES = [
    {"file_name": "1.png", "Smiling": True, "race": "Asian", "age": 20, "text": "A face"},
    {"file_name": "2.png", "Smiling": False, "race": None, "age": 2.5, "box": [1, 2]},
]
STYLEGAN = {"labels": [["1.png", 0], ["2.png", 1], ["3.png", 0]]}
NAMES = [
    *("25_0_2_20170116174525125.jpg.chip.jpg", "1_1_4_20170109.jpg", "116_1_0_201701.png", "61_1_2017.jpg"),
    *("train/happy/1.png", "val/sad/2.png", "test/happy/3.png", "Ann/1.jpg", "Bob/2.jpg", "1.jpg"),
    *("00000/img00000001.png", "00001/img00000002.png", "deep/er/still/4.webp", "CelebA-HQ-img/0.jpg"),
]
CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - {split: train, path: "data/train-*"}
  - split: test
    path: ["data/test-*", "more/**/*.parquet"]
dataset_info:
  features:
  - {name: image, dtype: image}
  - {name: label, dtype: {class_label: {names: {"0": cat, "1": dog}}}}
---
# Faces
"""
FEATURES = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
NAMED_LABELS = {"label": {"_type": "ClassLabel", "names": {"a": "x", "": "y"}}}
PANDAS = (
    '{"index_columns": ["label"], "column_indexes": [], "columns": [{"name": "label", "field_name": "label", '
    '"pandas_type": "int64", "numpy_type": "int64", "metadata": null}]}'
)
PARQUET_NAMES = [
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test-0.parquet",
]


def _records(make: Callable[[], DatasetAdapter], name: str, source: Path) -> int:
    records = make().records(source / name if name else source, SilentProgress())
    return sum(len(record.load()) for record in records)


def zipped(files: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            entry = zipfile.ZipInfo("_")
            entry.filename = _utf8(name)[:60_000] or "_"
            archive.writestr(entry, data)
    return buffer.getvalue()


def _tarred(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "1.png"
        archive.addfile(link)
    return buffer.getvalue()


def _parsed(parse: Callable[[str, str], object], where: str) -> Callable[[bytes], object]:
    return lambda data: parse(read_text(data, where), where)


@contextmanager
def _named_images(folder: Path, *, make: Sequence[Callable[[], DatasetAdapter]]) -> Iterator[Read]:
    """An archive of pictures with these names, read by each kind."""

    def read(names: list[str]) -> None:
        path = folder / "source.zip"
        path.write_bytes(zipped([(name, PICTURE) for name in names]))
        for one in make:
            _records(one, "", path)

    yield read


@contextmanager
def _beside_images(folder: Path, *, name: str, **options: Any) -> Iterator[Read]:
    """Four pictures with a file beside them."""
    for image, data in IMAGES.items():
        (folder / image).write_bytes(data)

    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        return _records(lambda: ImageFolder(ImageFolderConfig(**options)), "", folder)

    yield read


@contextmanager
def _hq(folder: Path) -> Iterator[Read]:
    """CelebA-HQ by number, with a mapping, from an archive that names its pictures oddly."""
    fixed = [("CelebA-HQ-to-CelebA-mapping.txt", MAPPING.encode())]

    def read(names: list[str]) -> object:
        path = folder / "source.zip"
        path.write_bytes(zipped([*fixed, *((f"CelebA-HQ-img/{name}", PICTURE) for name in names)]))
        return _records(lambda: CelebAHq(CelebAHqConfig()), "", path)

    yield read


def _all_loaded(path: Path) -> int:
    return sum(len(file.load()) for file in list_archive(path).files.values())


@contextmanager
def _parquet_folder(folder: Path) -> Iterator[Read]:
    def read(data: bytes) -> object:
        (folder / "train.parquet").write_bytes(data)
        return _records(lambda: Hub(HubConfig(limit=3)), "", folder)

    yield read


@contextmanager
def _card_folder(folder: Path) -> Iterator[Read]:
    for name in PARQUET_NAMES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(_parquets()[0])

    def read(data: bytes) -> None:
        (folder / "README.md").write_bytes(data)
        choose_files(open_folder(folder), None)
        _records(lambda: Hub(HubConfig()), "", folder)

    yield read


@contextmanager
def _hub_answers(folder: Path) -> Iterator[Read]:
    """A hub on the loopback whose list of files is the input."""
    from huggingface_hub import constants

    names = ("HUGGINGFACE_CO_URL_TEMPLATE", "ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_CACHE")
    before = {name: getattr(constants, name) for name in names}
    with hub_server() as server:
        template = before["HUGGINGFACE_CO_URL_TEMPLATE"].replace(before["ENDPOINT"], server.url)
        server.add("lab/faces", {"README.md": CARD.encode(), PARQUET_NAMES[0]: _parquets()[0]})
        for name, value in zip(names, (template, server.url, False, str(folder / "cache")), strict=True):
            setattr(constants, name, value)

        def read(data: bytes) -> object:
            server.answer = data
            return choose_files(open_hub("lab/faces", None), None)

        try:
            yield read
        finally:
            for name, value in before.items():
                setattr(constants, name, value)


def _parquets() -> list[bytes]:
    pictures = [PICTURE] * 4
    plain = {
        "image": pictures,
        "label": [0, 1, 0, 1],
        "smile": [True, False, None, True],
        "age": [1, 2, 3, 4],
    }
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    words = pa.array(["a", "b", "a", None]).dictionary_encode()
    other = {
        "img": pa.array(pictures),
        "text": ["A", "B", "C", ""],
        "f": [0.5, None, 1.0, float("nan")],
        "d": words,
    }
    return [parquet_bytes(plain, features=features), parquet_bytes(other, rows=2), parquet_bytes({"a": [1]})]


def _listing() -> dict[str, Any]:
    files = [
        {"rfilename": "README.md", "size": len(CARD), "blobId": "0" * 40},
        {
            "rfilename": PARQUET_NAMES[0],
            "size": 900,
            "lfs": {"sha256": "1" * 64, "size": 900, "pointerSize": 130},
        },
        {"rfilename": PARQUET_NAMES[2], "size": 10, "blobId": "2" * 40},
    ]
    return {
        "id": "lab/faces",
        "sha": "3" * 40,
        "siblings": files,
        "tags": ["a"],
        "cardData": {"license": "mit"},
    }


def _odd_parquet(drawn: tuple[int, list[mutations.Edit]]) -> bytes:
    """A parquet file whose values, names and features are odd."""
    kind, edits = drawn
    names = [mutations.edit_text("label", [edit])[:99] for edit in edits]
    features = mutations.edit_json(FEATURES, edits) if kind % 2 else mutations.edit_text(PANDAS, edits)
    columns: dict[str, Any] = {"image": [PICTURE] * 4}
    for name, (what, where, which) in zip(names, edits, strict=True):
        cells = [mutations.VALUES[(where * 7 + which + n) % len(mutations.VALUES)] for n in range(4)]
        if kind % 3 == 0:
            cells = [_utf8(str(cell))[: 5 + what] for cell in cells]
        try:
            columns[_utf8(name)] = pa.array(cells)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeError):
            columns["n"] = [which, -where, 2**62, None]
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface" if kind % 2 else "pandas": _utf8(features)}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


NAMED = st.lists(mutations.texts(NAMES), min_size=1, max_size=5)
JSON_LINES = st.lists(mutations.json_files(LINES), max_size=4).map(b"\n".join)
PARQUET = st.one_of(
    mutations.files(_parquets()), st.tuples(st.integers(0, 9), EDITS).map(_odd_parquet)
)  # fmt: skip
ARCHIVES = [zipped({**IMAGES, "a/2.txt": b"x" * 99}), _tarred({**IMAGES, "a/2.txt": b"y"})]
JPEG = io.BytesIO()
Image.new("RGB", (9, 7), "red").save(JPEG, "JPEG")
GIF = io.BytesIO()
Image.new("P", (9, 7), 3).save(GIF, "GIF", transparency=3)
TIFF = io.BytesIO()
Image.new("I;16", (5, 5), 999).save(TIFF, "TIFF")
PICTURES = [PICTURE, JPEG.getvalue(), GIF.getvalue(), TIFF.getvalue()]

READERS = [
    Reader(
        "CelebA's attributes",
        mutations.text_files([ATTRIBUTES]),
        plainly(_parsed(parse_attributes, "list_attr_celeba.txt")),
    ),
    Reader(
        "CelebA's attributes as CSV",
        mutations.text_files([ATTRIBUTES_CSV]),
        plainly(_parsed(parse_attributes, "list_attr_celeba.csv")),
    ),
    Reader(
        "CelebA's partition",
        mutations.text_files([PARTITION, "image_id,partition\n" + PARTITION.replace(" ", ",")]),
        plainly(_parsed(parse_partition, "list_eval_partition.txt")),
    ),
    Reader(
        "CelebA's identities",
        mutations.text_files([IDENTITIES]),
        plainly(_parsed(parse_identities, "identity_CelebA.txt")),
    ),
    Reader(
        "CelebA-HQ's mapping", mutations.text_files([MAPPING]), plainly(_parsed(parse_mapping, "mapping.txt"))
    ),
    Reader("names of CelebA-HQ", NAMED, _hq),
    Reader("names of UTKFace", NAMED, partial(_named_images, make=[lambda: UtkFace(UtkFaceConfig())])),
    Reader(
        "folders of classes",
        NAMED,
        partial(_named_images, make=[lambda: ImageFolder(ImageFolderConfig())]),
    ),
    Reader("metadata.csv", mutations.text_files(METADATA), partial(_beside_images, name="metadata.csv")),
    Reader("a table of any name", mutations.text_files(METADATA), partial(_beside_images, name="labels.tsv")),
    Reader("metadata.jsonl", JSON_LINES, partial(_beside_images, name="metadata.jsonl")),
    Reader("metadata.parquet", PARQUET, partial(_beside_images, name="metadata.parquet")),
    Reader(
        "StyleGAN's dataset.json",
        mutations.json_files([STYLEGAN]),
        partial(_beside_images, name="dataset.json"),
    ),
    Reader(
        "a JSON file beside an image", mutations.json_files(LINES), partial(_beside_images, name="1.json")
    ),
    Reader("zip archives", mutations.files(ARCHIVES[:1]), from_file("source.zip", _all_loaded)),
    Reader("tar archives", mutations.files(ARCHIVES[1:]), from_file("source.tar", _all_loaded)),
    Reader("parquet of images", PARQUET, _parquet_folder),
    Reader(
        "cards of the hub",
        mutations.text_files([CARD, f"---\n{LAUGHS}\n---\n", f"---\na: {DEEP}\n---\n"]),
        _card_folder,
    ),
    Reader("answers of the hub", mutations.json_files([_listing()]), _hub_answers),
    Reader(
        "pictures", st.one_of(mutations.png_files([PICTURE]), mutations.files(PICTURES)), plainly(read_image)
    ),
]
