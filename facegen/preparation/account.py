"""What became of every file of a source: `account.csv`, and how a source that is there now differs from it.

DATASET/account.csv    file, taken_as, reason, id, bytes: a split's name, "left out", or what a file is
                       that is no image ("labels", "not an image", "hidden", ...); of faces in photos
                       besides x, y, side, tilt, face_pixels, sharpness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.files import atomic_write, sha256_of
from facegen.types import DatasetRecord, DatasetReject, LabelSchema

ACCOUNT_NAME = "account.csv"
LEFT_OUT = "left out"
_NUM_EXAMPLES = 3
_MOST_NAMED = 6


def write_account(
    folder: Path,
    records: Sequence[DatasetRecord],
    splits: Mapping[int, str],
    rejects: Sequence[DatasetReject],
    files: Mapping[str, str],
    details: Mapping[str, Mapping[str, float]],
) -> None:
    """Write `account.csv`: the split of each record by index, what was left out, and every other file.

    `details` are further columns by id.
    """
    sizes = {record.id: record.size for record in records}
    rows = [
        {"file": record.location, "taken_as": splits[index], "id": record.id}
        for index, record in enumerate(records)
        if index in splits
    ]
    rows += [
        {"file": each.location, "taken_as": LEFT_OUT, "reason": each.reason, "id": each.id}
        for each in rejects
    ]
    told = {row["file"] for row in rows}
    rows += [{"file": name, "taken_as": what} for name, what in sorted(files.items()) if name not in told]
    frame = pd.DataFrame(rows, columns=["file", "taken_as", "reason", "id"])
    frame["bytes"] = frame["id"].map(sizes).astype("Int64")
    for column in dict.fromkeys(name for values in details.values() for name in values):
        frame[column] = [details.get(id, {}).get(column) for id in frame["id"]]
    atomic_write(folder / ACCOUNT_NAME, frame.to_csv(index=False))


@dataclass(frozen=True)
class Example:
    """One image of a data set, to be checked by eye against its file."""

    id: str
    split: str
    labels: str
    caption: str


def examples(dataset: Dataset) -> tuple[Example, ...]:
    """Three images of the first split, from its beginning, middle and end, with their labels in words."""
    split = next(iter(dataset.splits), None)
    if split is None:
        return ()
    frame = dataset.split(split).frame
    chosen = sorted({0, len(frame) // 2, len(frame) - 1})[:_NUM_EXAMPLES]
    rows = [
        {str(name): value for name, value in row.items()} for row in frame.iloc[chosen].to_dict("records")
    ]
    labels, extras = dataset.manifest.labels, dataset.manifest.extras
    return tuple(Example(row["id"], split, _in_words(row, labels, extras), row["caption"]) for row in rows)


def _in_words(row: Mapping[str, Any], labels: LabelSchema, extras: Mapping[str, str]) -> str:
    yes = [name for name in labels.attributes if row[name] is not pd.NA and row[name] == 1]
    no = [name for name in labels.attributes if row[name] is not pd.NA and row[name] == 0]
    told = [_shortened(yes)] if yes else []
    told += [f"not {_shortened(no, most=2)}"] if no else []
    named = {name: row[name] for name in (*labels.classes, *extras)}
    if row["identity"]:
        named["identity"] = row["identity"]
    return "; ".join([*told, *(f"{name} {value}" for name, value in named.items() if not _is_nothing(value))])


def _is_nothing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


def _shortened(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def changes(
    dataset: Dataset, records: Sequence[DatasetRecord], rejects: Sequence[DatasetReject], labels: LabelSchema
) -> list[str]:
    """How a source differs from what `dataset` was made of: files, sizes, labels, and the bytes of files that
    were changed since. Empty where nothing does. `records`, `rejects` and `labels` are what is there now."""
    frame = pd.concat([dataset.split(split).frame for split in dataset.splits], ignore_index=True)
    before = set(frame["id"])
    stored_sizes = dict[str, int]()
    path = dataset.folder / ACCOUNT_NAME
    if path.is_file():
        account = pd.read_csv(path, dtype=str, keep_default_na=False)
        images = account[account["id"] != ""]
        before |= set(images["id"])
        sized = images[images["bytes"] != ""]
        stored_sizes = dict(zip(sized["id"], map(int, sized["bytes"]), strict=True))
    now = {record.id: record for record in records}
    here = {*now, *(each.id for each in rejects)}
    told = [
        _some(sorted(here - before), "is new", "are new"),
        _some(sorted(before - here), "is gone", "are gone"),
    ]
    told.append(_labels_differ(frame, now, dataset.manifest.labels, labels))
    made = (dataset.folder / MANIFEST_NAME).stat().st_mtime
    digests = dict(zip(frame["id"], frame["sha256"], strict=True))
    touched = [
        id
        for id, record in now.items()
        if id in before and _is_changed(record, stored_sizes.get(id), digests.get(id), made)
    ]
    told.append(_some(touched, "has other content", "have other content"))
    return [each for each in told if each]


def _some(ids: Sequence[str], one: str, many: str) -> str:
    if not ids:
        return ""
    what = f"1 image {one}" if len(ids) == 1 else f"{len(ids):,} images {many}"
    return f"{what} (such as '{ids[0]}')"


def _is_changed(record: DatasetRecord, size: int | None, digest: str | None, made: float) -> bool:
    """Whether a file is another one: by its size, or by its bytes where it was touched after `made`."""
    if size is not None and record.size is not None and size != record.size:
        return True
    if record.modified is None or record.modified <= made:
        return False
    return digest is None or sha256_of(record.load()) != digest


def _labels_differ(
    frame: pd.DataFrame, now: Mapping[str, DatasetRecord], before: LabelSchema, labels: LabelSchema
) -> str:
    """What is to be told of other labels: of columns, or of images."""
    if {*before.attributes, *before.classes} != {*labels.attributes, *labels.classes}:
        names = ", ".join([*labels.attributes, *labels.classes]) or "none"
        return f"the labels are others (now: {_shortened(names.split(', '))})"
    frame = frame[frame["id"].isin(set(now))]
    there = [now[id] for id in frame["id"]]
    extras = {name: None for record in there for name in record.extra if name in frame.columns}
    said: dict[str, list[Any]] = {
        **{name: [record.attributes.get(name) for record in there] for name in labels.attributes},
        **{name: [record.classes.get(name) for record in there] for name in labels.classes},
        **{name: [record.extra.get(name) for record in there] for name in extras},
        "identity": [record.identity for record in there],
    }
    written = zip(there, frame["caption"], strict=True)  # from the labels, where a record brings none
    said["caption"] = [record.caption or caption for record, caption in written]
    differing: dict[int, str] = {}
    for name, values in said.items():
        column = frame[name].astype(object)
        stored: list[Any] = column.where(column.notna(), None).tolist()
        for row, (before_it, now_it) in enumerate(zip(stored, values, strict=True)):
            if before_it != now_it:
                differing.setdefault(row, f"{name} was {_said(before_it)}, is {_said(now_it)}")
    ids: list[str] = frame["id"].tolist()
    told = _some([ids[row] for row in sorted(differing)], "is labelled otherwise", "are labelled otherwise")
    return told and f"{told[:-1]}: {differing[min(differing)]})"


def _said(value: Any) -> str:
    return "unknown" if value is None else str(int(value) if isinstance(value, bool) else value)
