"""Thousands of generated tables and folder trees of known meaning: read as meant, or refused by name."""

from __future__ import annotations

import io
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegen.datasets.image_folder import Config, ImageFolder
from facegen.errors import FacegenError
from facegen.progress import SilentProgress
from facegen.types import DatasetRecord

NUM_IMAGES = 16
NAMES = [f"Jürgen {number:03d}.jpg" for number in range(NUM_IMAGES)]
TO_WORDS: dict[str, dict[bool | None, str]] = {
    "1/0": {True: "1", False: "0"},
    "1/-1": {True: "1", False: "-1"},
    "1.0/0.0": {True: "1.0", False: "0.0"},
    "yes/no": {True: "yes", False: "no"},
    "Yes/No": {True: "Yes", False: "No"},
    "TRUE/FALSE": {True: "TRUE", False: "FALSE"},
    "True/False": {True: "True", False: "False"},
    "Y/N": {True: "Y", False: "N"},
}
NAME_FORMS = {
    "as they are": lambda name: name,
    "upper case": str.upper,
    "stems": lambda name: name.removesuffix(".jpg"),
    "with ./": lambda name: f"./{name}",
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "composed": lambda name: unicodedata.normalize("NFC", name),
}
CLASS_WORDS = st.sampled_from(["happy", "sad", "very angry", "nönchalant", "a;b", 'the "one"', "x,y"])
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
LABEL_NAMES = st.sampled_from(
    ["Smiling", "has beard", "Brille?", "attr_7", "mouth,open", "a=b", "mood", "age"]
)


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[Any], list[str]]:
    """A column: what it is, the true values, and the words that a table has for them."""
    kind = draw(st.sampled_from(["yes-no", "class", "number"]))
    blanks = draw(st.sampled_from([0, 0, 3]))
    if kind == "yes-no":
        words = TO_WORDS[draw(st.sampled_from(sorted(TO_WORDS)))]
        # both occur: a column of "N" alone says nothing about what it is
        truth: list[Any] = [True, False, *draw(st.lists(st.booleans(), min_size=14, max_size=14))]
        cells = [words[value] for value in truth]
    elif kind == "class":
        some = draw(st.lists(CLASS_WORDS, min_size=2, max_size=4, unique=True))
        truth = [some[number % len(some)] for number in range(NUM_IMAGES)]
        cells = list(truth)
    else:
        truth = draw(st.lists(st.integers(2, 90), min_size=NUM_IMAGES, max_size=NUM_IMAGES))
        cells = [str(value) for value in truth]
    for row in draw(st.permutations(range(2, NUM_IMAGES)))[:blanks]:
        truth[row], cells[row] = None, ""
    return kind, truth, cells


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bytes, dict[str, tuple[str, list[Any]]]]:
    """A file's name, its bytes, and label -> what it is and its true value for each of `NAMES`."""
    names = draw(st.lists(LABEL_NAMES, min_size=1, max_size=4, unique=True))
    made = {name: draw(columns()) for name in names}
    spelt = NAME_FORMS[draw(st.sampled_from(sorted(NAME_FORMS)))]
    frame = pd.DataFrame({"file_name": [spelt(name) for name in NAMES]})
    for name, (_, _, cells) in made.items():
        frame[name] = cells
    if draw(st.booleans()):
        frame = frame[[*names, "file_name"]]
    frame = frame.sample(frac=1, random_state=draw(st.integers(0, 99)))
    file = draw(
        st.sampled_from(["metadata.csv", "Metadata.CSV", "labels.csv", "metadata.jsonl", "metadata.parquet"])
    )
    truth = {name: (kind, values) for name, (kind, values, _) in made.items()}
    if file.endswith("jsonl"):
        return file, frame.to_json(orient="records", lines=True, force_ascii=False).encode(), truth
    if file.endswith("parquet"):
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        return file, buffer.getvalue(), truth
    text = frame.to_csv(
        sep=draw(st.sampled_from([",", ";", "\t", "|"])),
        index=draw(st.booleans()),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    return file, text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))), truth


@pytest.fixture(scope="module")
def faces() -> Iterator[Path]:
    """A folder with one file for each of `NAMES`; reading labels opens none of them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).write_bytes(b"x")
        yield Path(folder)


def read(source: Path, **config: Any) -> dict[str, DatasetRecord]:
    adapter = ImageFolder(Config(**config))
    return {record.id: record for record in adapter.records(source, SilentProgress())}


def outcome(faces: Path, file: str) -> tuple[dict[str, DatasetRecord], str]:
    """The records, or none and the refusal; the table is gone afterwards."""
    try:
        return read(faces), ""
    except FacegenError as error:
        return {}, str(error)
    finally:
        (faces / file).unlink()


def value_of(record: DatasetRecord, label: str) -> Any:
    return {**record.extra, **record.attributes, **record.classes}.get(label)


@settings(max_examples=1000, deadline=None, suppress_health_check=SLOW_IS_FINE)
@given(tables())
def test_a_table_is_read_as_it_was_meant(
    faces: Path, made: tuple[str, bytes, dict[str, tuple[str, list[Any]]]]
) -> None:
    file, data, truth = made
    (faces / file).write_bytes(data)
    records, refusal = outcome(faces, file)
    assert not refusal, "everything that is generated here has one meaning"
    assert set(records) == set(NAMES)
    for label, (kind, values) in truth.items():
        for name, value in zip(NAMES, values, strict=True):
            assert value_of(records[name], label) == value, (label, kind, name)


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW_IS_FINE)
@given(columns(), st.integers(2, NUM_IMAGES - 1), st.sampled_from(["maybe", "7", "x1", "1,5"]))
def test_one_cell_that_does_not_fit_is_named(
    faces: Path, made: tuple[str, list[Any], list[str]], row: int, wrong: str
) -> None:
    kind, truth, cells = made
    cells[row] = wrong
    frame = pd.DataFrame({"file_name": NAMES, "Smiling": cells})
    (faces / "metadata.csv").write_text(frame.to_csv(index=False), encoding="utf-8")
    fits = kind == "class" or (kind == "number" and wrong in ("7", "1,5"))
    records, refusal = outcome(faces, "metadata.csv")
    if refusal:
        assert kind != "class"
        assert f"metadata.csv:{row + 2}, column 'Smiling': '{wrong}'" in refusal
        assert "--columns" in refusal
        return
    assert fits, "a cell that does not fit was read in silence"
    others = [number for number in range(NUM_IMAGES) if number != row]
    assert [value_of(records[NAMES[number]], "Smiling") for number in others] == [truth[n] for n in others]


SPLITS = {
    "train": ("train", "Training", "training_set", "train-images"),
    "validation": ("val", "valid", "validation", "Val_set"),
    "test": ("test", "testing", "test_set"),
}
FOLDERS = ["happy", "sad", "very angry", "n02", "7", "ünsure", "A_B"]


@st.composite
def trees(draw: st.DrawFn) -> tuple[dict[str, tuple[str | None, str | None]], list[str]]:
    """Image -> its split and class, in a tree of some layout; and files that are no data."""
    above = draw(st.sampled_from(["", "images/", "dataset/faces/"]))
    splits = draw(st.sampled_from([(), ("train", "validation"), ("train", "validation", "test")]))
    classes = draw(st.lists(st.sampled_from(FOLDERS), min_size=2, max_size=4, unique=True))
    classes = classes if draw(st.booleans()) else []
    named = {split: draw(st.sampled_from(SPLITS[split])) for split in splits}
    images: dict[str, tuple[str | None, str | None]] = {}
    number = 0
    for split in splits or (None,):
        for kind in classes or (None,):
            for _ in range(draw(st.integers(1, 3))):
                deeper = draw(st.sampled_from(["", "", "more/"])) if kind else ""
                place = "".join(f"{part}/" for part in (split and named[split], kind) if part)
                suffix = draw(st.sampled_from([".jpg", ".PNG", ".jfif", ".webp"]))
                images[f"{above}{place}{deeper}face {number}{suffix}"] = (split, kind)
                number += 1
    rubbish = draw(
        st.lists(st.sampled_from(["@eaDir/a.jpg", ".hidden/b.jpg", "Thumbs.db", "notes.md"]), unique=True)
    )
    return images, [f"{above}{name}" for name in rubbish]


@settings(max_examples=500, deadline=None, suppress_health_check=SLOW_IS_FINE)
@given(trees(), st.booleans())
def test_a_folder_tree_is_read_as_it_was_meant(
    made: tuple[dict[str, tuple[str | None, str | None]], list[str]], packed: bool
) -> None:
    images, rubbish = made
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "faces"
        for name in (*images, *rubbish):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        source = Path(shutil.make_archive(str(root), "zip", root)) if packed else root
        adapter = ImageFolder(Config())
        records = list(adapter.records(source, SilentProgress()))
        found = {record.load().decode(): (record.split, record.classes.get("class")) for record in records}
    assert found == images
    assert len(adapter.files) == len(rubbish)


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW_IS_FINE)
@given(st.sampled_from(["holdout", "happy", "part1"]))
def test_a_split_beside_another_folder_is_refused_and_decided_by_an_option(other: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        for folder in ("train", other):
            (Path(place) / folder).mkdir()
            for number in range(3):
                (Path(place) / folder / f"{number}.jpg").write_bytes(folder.encode())
        with pytest.raises(FacegenError, match=f"'train' is a split's name and '{other}' is not"):
            read(Path(place))
        assert {record.classes["class"] for record in read(Path(place), layout="classes").values()} == {
            "train",
            other,
        }
        assert all(not record.classes for record in read(Path(place), layout="flat").values())
