"""Hugging Face's `metadata.csv` and `metadata.jsonl`: which column is a label, a caption, a number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from facegen.datasets._sources import check_relative
from facegen.errors import DataError

FILE_COLUMNS = ("file_name", "filename", "image")
CAPTION_COLUMNS = ("text", "caption")
IDENTITY_COLUMN, SPLIT_COLUMN = "identity", "split"
MAX_CLASSES = 1000  # more different words than this are a remark, not a class
_YES_NO = {"1": True, "0": False, "-1": False, "true": True, "false": False}


@dataclass(frozen=True)
class MetadataRow:
    """One row: the image's name relative to the metadata file, where the row stands, its other values."""

    file_name: str
    where: str
    values: dict[str, str | None]


@dataclass
class Columns:
    """What the columns of a metadata file were taken for."""

    attributes: list[str] = field(default_factory=list)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: dict[str, Callable[[str], int | float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    caption: str | None = None


def read_metadata(text: str, where: str) -> list[MetadataRow]:
    """Read a CSV or JSON-lines metadata file; empty values are None.

    Raises:
        DataError: with file:line; no file column, a short row, bad JSON, a name that leaves the folder.
    """
    raw = _json_rows(text, where) if where.endswith(".jsonl") else _csv_rows(text, where)
    rows: list[MetadataRow] = []
    seen: dict[str, str] = {}
    for at, values in raw:
        column = next((name for name in FILE_COLUMNS if name in values), None)
        if column is None:
            raise DataError(f"{at}: no column 'file_name'.", hint=f"Columns there: {', '.join(values)}")
        name = str(values.pop(column) or "").replace("\\", "/").removeprefix("./")
        check_relative(name, at)
        if name in seen:
            raise DataError(f"{at}: '{name}' stands there twice, first at {seen[name]}.")
        seen[name] = at
        rows.append(MetadataRow(name, at, {key: words(value) for key, value in values.items()}))
    return rows


def sort_columns(rows: Sequence[MetadataRow]) -> Columns:
    """Tell columns apart by all their values: 0/1/-1/true/false, numbers, few words, many words."""
    columns = Columns()
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    for name in names:
        values = {value for row in rows if (value := row.values.get(name)) is not None}
        if name in (IDENTITY_COLUMN, SPLIT_COLUMN) or not values:
            continue
        if name in CAPTION_COLUMNS:
            columns.caption = columns.caption or name
        elif all(value.casefold() in _YES_NO for value in values):
            columns.attributes.append(name)
        elif (number := _number_type(values)) is not None:
            columns.numbers[name] = number
        elif len(values) <= min(MAX_CLASSES, max(2, len(rows) // 2)):
            columns.classes[name] = tuple(sorted(values))
        else:
            columns.remarks.append(name)
    return columns


def yes_no(value: str | None) -> bool | None:
    """ "1", "true" -> True; "0", "-1", "false" -> False; nothing -> None (unknown)."""
    return None if value is None else _YES_NO[value.casefold()]


def _number_type(values: Iterable[str]) -> Callable[[str], int | float] | None:
    for number in (int, float):
        try:
            for value in values:
                number(value)
            return number
        except ValueError:
            continue
    return None


def words(value: Any) -> str | None:
    """A cell as words without the blanks around them; None where nothing stands there."""
    return None if value is None else str(value).strip() or None


def _csv_rows(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            at = f"{where}:{reader.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{at}: {len(reader.fieldnames or ())} values belong in each row.")
            yield at, row
    except csv.Error as error:
        raise DataError(f"{where}:{reader.line_num}: {error}.") from error


def _json_rows(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}:{number}: not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}:{number}: a row is an object with a 'file_name'.")
        yield f"{where}:{number}", row
