"""Text files of CelebA and CelebA-HQ, with spaces or commas, read strictly and told by line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from facegen.datasets._sources import check_relative
from facegen.errors import DataError

_FIELD = re.compile(r"[^\s,]+")
_SIGNS = {"1": True, "+1": True, "-1": False, "0": False}
_PARTS = {"0": "train", "1": "validation", "2": "test"}
_IMAGE_NAME = re.compile(r".*\.(jpe?g|png)", re.IGNORECASE)
_MAX_DIGITS = 9
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")
IDENTITY_FILES = ("identity_CelebA.txt",)
MAPPING_COLUMNS = ("idx", "orig_idx", "orig_file")
Line = tuple[str, str, list[str]]  # file:number, text, fields


@dataclass(frozen=True)
class AttributeTable:
    """`rows` file name -> values in the order of `names`; `notes` says what was odd but readable."""

    names: tuple[str, ...]
    rows: dict[str, tuple[bool, ...]]
    notes: tuple[str, ...]


def parse_attributes(text: str, where: str) -> AttributeTable:
    """Read `list_attr_celeba.txt` or `.csv`. Byte order mark, CRLF, commas or spaces do not matter.

    Raises:
        DataError: with file:line:column; no header, a short or long row, a value that is not 1 or -1, a
            name that leaves its folder, an image twice.
    """
    lines = _lines(text, where)
    at, fields = _first(lines, where)
    stated = int(fields[0]) if len(fields) == 1 and fields[0].isdigit() else None
    if stated is not None:
        at, fields = _first(lines, where)
    names = tuple(fields[1:] if fields[0].casefold() in ("image_id", "image", "filename") else fields)
    if _IMAGE_NAME.fullmatch(fields[0]) or any(re.fullmatch(r"[+-]?\d+", name) for name in names):
        raise DataError(f"{at}: the line with the attributes' names is missing.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or not names:
        raise DataError(f"{at}: attribute '{twice}' is named twice." if twice else f"{where}: no names.")
    rows: dict[str, tuple[bool, ...]] = {}
    for at, line, fields in lines:
        _check_row(fields, len(names), rows, at)
        try:
            rows[fields[0]] = tuple([_SIGNS[value] for value in fields[1:]])
        except KeyError as error:
            index = next(index for index, value in enumerate(fields[1:]) if value not in _SIGNS)
            column = [match.start() + 1 for match in _FIELD.finditer(line)][index + 1]
            raise DataError(
                f"{at}:{column}: '{fields[index + 1]}' for {names[index]} is not 1 or -1."
            ) from error
    notes = ()
    if stated is not None and stated != len(rows):
        notes = (f"{where} says {stated:,} rows and holds {len(rows):,}.",)
    return AttributeTable(names, rows, notes)


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
    lines = _lines(text, where)
    at, fields = _first(lines, where)
    if tuple(field.casefold() for field in fields) != MAPPING_COLUMNS:
        raise DataError(f"{at}: the header '{' '.join(MAPPING_COLUMNS)}' is missing.")
    rows: dict[int, str] = {}
    for at, line, fields in lines:
        if len(fields) != len(MAPPING_COLUMNS):
            raise DataError(f"{at}: {len(fields)} values where {len(MAPPING_COLUMNS)} belong.")
        index, original, file = fields
        _check_plain(file, at)
        stem = file.rpartition(".")[0]
        if not all(_is_number(value) for value in (index, original, stem)):
            raise DataError(f"{at}: '{line.strip()}' is not two numbers and a numbered file.")
        if int(stem) != int(original) + 1:
            raise DataError(f"{at}: index {original} does not belong to '{file}'.")
        if int(index) in rows:
            raise DataError(f"{at}: '{index}' stands there twice.")
        rows[int(index)] = file
    return rows


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _parse_pairs(text: str, where: str, read: Callable[[str], str | None], wrong: str) -> dict[str, str]:
    """File name -> what `read` makes of the value beside it; `wrong` says what a None means."""
    rows: dict[str, str] = {}
    for at, line, fields in _lines(text, where):
        if not rows and fields[0].casefold() == "image_id":
            continue
        _check_row(fields, 1, rows, at)
        value = read(fields[1])
        if value is None:
            raise DataError(f"{at}:{line.rindex(fields[1]) + 1}: {wrong.format(fields[1])}.")
        rows[fields[0]] = value
    return rows


def _check_row(fields: list[str], num_values: int, rows: Collection[str], at: str) -> None:
    if len(fields) != num_values + 1:
        raise DataError(f"{at}: {len(fields) - 1} values where {num_values} belong.")
    _check_plain(fields[0], at)
    if fields[0] in rows:
        raise DataError(f"{at}: '{fields[0]}' stands there twice.")


def _check_plain(name: str, at: str) -> None:
    if "/" in name or "\\" in name or ".." in name:
        check_relative(name, at)
        raise DataError(f"{at}: '{name}' is not a plain file name.")


def _lines(text: str, where: str) -> Iterator[Line]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip(" \t\r,"):
            yield f"{where}:{number}", line.rstrip("\r"), line.replace(",", " ").split()


def _first(lines: Iterator[Line], where: str) -> tuple[str, list[str]]:
    for at, _, fields in lines:
        return at, fields
    raise DataError(f"{where}: the file is empty or ends before its header.")
