"""CelebA's and CelebA-HQ's tables, as they are published or as other tools saved them again."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from facegen.datasets._columns import NOTHING, Column, is_trinary, judge, numbers_rows
from facegen.datasets._tables import FILE_COLUMNS, Table, parse_pairs, parse_table
from facegen.datasets._tree import check_relative
from facegen.errors import DataError

_PARTS = {"0": "train", "1": "validation", "2": "test"}
_IMAGE_NAME = re.compile(r".*\.(jpe?g|png)", re.IGNORECASE)
_MAX_DIGITS = 9
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")
IDENTITY_FILES = ("identity_CelebA.txt", "identity_CelebA.csv")
MAPPING_COLUMNS = ("idx", "orig_idx", "orig_file")


@dataclass(frozen=True)
class AttributeTable:
    """`rows` file name -> values in the order of `names`, None for unknown; `notes` says what was odd but
    readable, `told` in what form it was."""

    names: tuple[str, ...]
    rows: dict[str, tuple[bool | None, ...]]
    notes: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def parse_attributes(text: str, where: str) -> AttributeTable:
    """Read `list_attr_celeba.txt` or `.csv`: 1, -1, 0, yes, true, blanks, whatever separates them.

    Raises:
        DataError: with file and line; no header, a short or long row, a column that is not yes/no, a name
            that leaves its folder, an image twice.
    """
    table = parse_table(text, where)
    names = list(table.columns)
    if any(_IMAGE_NAME.fullmatch(name) or re.fullmatch(r"[+-]?\d+", name) for name in names):
        raise DataError(f"{where}: the line with the attributes' names is missing.")
    file_column = _file_column(table)
    told = [table.form] if table.form and where.endswith(".csv") else []
    index = [
        name for name in names if name != file_column and len(table) > 2 and numbers_rows(table.columns[name])
    ]
    told += [f"column '{name}' numbers the rows: left out" for name in index]
    attributes = tuple(name for name in names if name not in (file_column, *index))
    trinary = any(is_trinary(table.columns[name]) for name in attributes)
    readings = {name: _yes_no(table, name, trinary=trinary) for name in attributes}
    told += sorted({f"{reading.told}" for reading in readings.values() if reading.told})
    values = [list(map(readings[name].read, table.columns[name])) for name in attributes]
    files = table.columns[file_column]
    rows: dict[str, tuple[bool | None, ...]] = {}
    for row, labels in enumerate(zip(*values, strict=True)):
        name = files[row] or ""
        _check_plain(name, table.at(row))
        if name in rows:
            raise DataError(f"{table.at(row)}: '{name}' stands there twice.")
        rows[name] = labels
    notes = ()
    if table.stated is not None and table.stated != len(rows):
        notes = (f"{where} says {table.stated:,} rows and holds {len(rows):,}.",)
    return AttributeTable(attributes, rows, notes, tuple(told))


def _file_column(table: Table) -> str:
    """The column of files' names: the one with names of images in it, else one so called."""
    for name, cells in table.columns.items():
        if cells and cells[0] is not None and _IMAGE_NAME.fullmatch(cells[0]):
            return name
    called = next((name for name in FILE_COLUMNS if name in table.columns), None)
    if called is None:
        raise DataError(f"{table.where}: no column names the images.")
    return called


def _yes_no(table: Table, name: str, *, trinary: bool) -> Column:
    cells = table.columns[name]
    reading = judge(name, cells, None, lambda value: table.at(cells.index(value)), trinary=trinary)
    if reading.role not in ("attribute", "nothing"):
        wrong = next(value for value in cells if value is not None and _is_wrong(value))
        raise DataError(f"{table.at(cells.index(wrong))}, column '{name}': '{wrong}' is not 1 or -1.")
    return reading


def _is_wrong(value: str) -> bool:
    signs = {"1", "-1", "0", "+1", "1.0", "-1.0", "0.0", "yes", "no", "true", "false"}
    return value.casefold() not in signs | NOTHING


def parse_partition(text: str, where: str) -> dict[str, str]:
    """Read `list_eval_partition`: file name -> "train", "validation" or "test"."""
    return _parse_pairs(text, where, _PARTS.get, "partition '{}' is not 0, 1 or 2")


def parse_identities(text: str, where: str) -> dict[str, str]:
    """Read `identity_CelebA.txt`: file name -> identity number."""
    return _parse_pairs(
        text, where, lambda value: value if value.isdigit() else None, "identity '{}' is not a number"
    )


def parse_mapping(text: str, where: str) -> dict[int, str]:
    """Read `CelebA-HQ-to-CelebA-mapping.txt`: number of a CelebA-HQ image -> CelebA's file name.

    Raises:
        DataError: with file:line; no header, a short or long row, an index that is no number or does not
            belong to its file (`000001.jpg` has index 0), a number twice, a name that leaves its folder.
    """
    table = parse_table(text, where)
    called = {name.casefold(): cells for name, cells in table.columns.items()}
    if not {*MAPPING_COLUMNS} <= {*called}:
        raise DataError(f"{where}: the header '{' '.join(MAPPING_COLUMNS)}' is missing.")
    rows: dict[int, str] = {}
    for row, cells in enumerate(zip(*(called[name] for name in MAPPING_COLUMNS), strict=True)):
        at = table.at(row)
        index, original, file = (cell or "" for cell in cells)
        _check_plain(file, at)
        stem = file.rpartition(".")[0]
        if not all(is_number(value) for value in (index, original, stem)):
            raise DataError(f"{at}: '{index} {original} {file}' is not two numbers and a numbered file.")
        if int(stem) != int(original) + 1:
            raise DataError(f"{at}: index {original} does not belong to '{file}'.")
        if int(index) in rows:
            raise DataError(f"{at}: '{index}' stands there twice.")
        rows[int(index)] = file
    return rows


def is_number(text: str) -> bool:
    """Whether it is a whole number of few digits."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _parse_pairs(text: str, where: str, read: Callable[[str], str | None], wrong: str) -> dict[str, str]:
    """File name -> what `read` makes of the value beside it; `wrong` says what a None means."""
    rows: dict[str, str] = {}
    for at, name, told in parse_pairs(text, where):
        _check_new(name, rows, at)
        value = read(told.removesuffix(".0"))
        if value is None:
            raise DataError(f"{at}: {wrong.format(told)}.")
        rows[name] = value
    return rows


def _check_new(name: str, rows: Collection[str], at: str) -> None:
    _check_plain(name, at)
    if name in rows:
        raise DataError(f"{at}: '{name}' stands there twice.")


def _check_plain(name: str, at: str) -> None:
    if not name or "/" in name or "\\" in name or ".." in name:
        check_relative(name, at)
        raise DataError(f"{at}: '{name}' is not a plain file name.")
