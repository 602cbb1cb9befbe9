"""One reader of tables: CSV in all its dialects, blank-separated text, JSON lines, parquet.

Rows come from the csv module and not from pandas, which fills a short row up without a word. What is judged
here is what a table's lines mean: where its header is, what separates its cells. Every complaint names file
and line.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd

from facegen.config.documents import parse_json
from facegen.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE_ROWS = 20
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_FIELD_LIMIT = 1 << 24
_MAX_DIGITS = 18  # of a number of rows
Row = tuple[int, list[str]]  # line number from 1, cells


@dataclass(frozen=True)
class Table:
    """`columns` is name -> words of each row, without the blanks around them; None where nothing stands.

    The column of the files' names may be called "". `lines` are the rows' line numbers; `stated` is the
    number of rows that a count line before the header says, as CelebA's tables have one; `form` says what
    separates the cells.
    """

    where: str
    columns: dict[str, list[str | None]]
    lines: Sequence[int]
    stated: int | None = None
    form: str = ""

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, row: int) -> str:
        """Where the row of this number (from 0) stands."""
        return f"{self.where}:{self.lines[row]}"


def read_table(data: bytes, where: str) -> Table:
    """Read a table by its suffix, with byte order mark, UTF-16, CRLF, quotes, `;`, tabs or a count line.

    Raises:
        DataError: with file and line: not text, no header, a row of another length, bad JSON, or two columns
            of one name.
    """
    if where.casefold().endswith(".parquet"):
        return _parquet(data, where)
    text = read_text(data, where)
    return _json_lines(text, where) if where.casefold().endswith(".jsonl") else parse_table(text, where)


def read_text(data: bytes, where: str) -> str:
    """A text file: UTF-8 with or without byte order mark, or UTF-16 with one.

    Raises:
        DataError: neither, with the line.
    """
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{where}:{line}: not UTF-8 text ({error.reason}).", hint="Save the file as UTF-8."
        ) from error


def parse_table(text: str, where: str) -> Table:
    """Read a table with a header from text, whatever separates its cells.

    Raises:
        DataError: as `read_table`.
    """
    text = text.removeprefix("\ufeff")
    delimiter = _delimiter(text, where)
    rows = _rows(text, delimiter, where)
    head = next(rows, None)
    stated = None
    if head is not None and len(head[1]) == 1 and _is_count(head[1][0]):
        stated, head = int(head[1][0].strip()), next(rows, None)  # int() alone leaves some white space
    if head is None:
        raise DataError(f"{where}: the file is empty or ends before its header.")
    body = list(rows)
    names = _names(head, body, where)
    for line, cells in body:
        if len(cells) != len(names):
            raise DataError(f"{where}:{line}: {len(cells)} values where {len(names)} belong.")
    cells = [list(map(words, column)) for column in zip(*(row for _, row in body), strict=True)]
    columns = dict(zip(names, cells or [[] for _ in names], strict=True))
    form = "" if delimiter == "," else f"separated by {_DELIMITERS.get(delimiter or '', 'blanks')}"
    return Table(where, columns, [line for line, _ in body], stated, form)


def parse_pairs(text: str, where: str) -> Iterator[tuple[str, str, str]]:
    """Lines of a file's name and one value, with or without a header: where each stands, name, value.

    Raises:
        DataError: a line of another length.
    """
    text = text.removeprefix("\ufeff")
    for number, (line, cells) in enumerate(_rows(text, _delimiter(text, where), where)):
        filled = [cell.strip() for cell in cells]
        if len(filled) == 3 and (filled[0] == "" or filled[0].isdigit()):
            filled = filled[1:]  # pandas' index
        if number == 0 and filled[0].casefold() in FILE_COLUMNS:
            continue
        if len(filled) != 2:
            raise DataError(f"{where}:{line}: {len(filled)} values where 2 belong.")
        yield f"{where}:{line}", filled[0], filled[1]


FILE_COLUMNS = (
    *("file_name", "filename", "file", "image_id", "image", "image_name", "image_path", "img"),
    *("img_path", "path", "filepath", "name", "id", ""),
)
"""What a column of files' names is usually called, the likeliest first."""


def words(value: Any) -> str | None:
    """A cell as words without the blanks around them; None where nothing stands there."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    return str(value).strip() or None


def _names(head: Row, body: Sequence[Row], where: str) -> list[str]:
    line, cells = head
    names = [cell.strip() for cell in cells]
    if body and Counter(len(row) for _, row in body).most_common(1)[0][0] == len(names) + 1:
        names = ["", *names]  # the files' names have no header, as in CelebA's list_attr_celeba.txt
    while len(names) > 1 and not names[-1] and all(not row[-1].strip() for _, row in body):
        names.pop()  # every line ends in a separator
        for _, row in body:
            row.pop()
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}:{line}: two columns are called '{twice}'.")
    return names


def _delimiter(text: str, where: str) -> str | None:
    """What separates the cells: what cuts the first rows into equally many; None for blanks and commas."""
    widths: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        sample = list(islice(_rows(text, delimiter, where, strict=False), _SAMPLE_ROWS))
        lengths = [len(cells) for _, cells in sample if not (len(cells) == 1 and _is_count(cells[0]))]
        if lengths and min(lengths[1:] or lengths) > 1 and {*lengths[1:]} <= {lengths[0], lengths[0] + 1}:
            widths[delimiter] = lengths[0]
    if widths:
        return max(widths, key=lambda delimiter: widths[delimiter])
    if where.casefold().endswith(".txt"):
        return None
    head = next((line for line in text.split("\n") if line.strip()), "")
    return max(_DELIMITERS, key=lambda delimiter: head.count(delimiter))


def _rows(text: str, delimiter: str | None, where: str, *, strict: bool = True) -> Iterator[Row]:
    """The lines that hold anything, cut into cells."""
    if delimiter is None:
        for number, line in enumerate(text.split("\n"), start=1):
            if cells := line.replace(",", " ").split():
                yield number, cells
        return
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=strict, skipinitialspace=True
    )
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, cells
    except csv.Error as error:
        if strict:
            raise DataError(f"{where}:{reader.line_num}: {error}.") from error


def _is_count(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and len(text.strip()) <= _MAX_DIGITS


def _json_lines(text: str, where: str) -> Table:
    rows: list[Mapping[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(f"{where}:{number}: not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}:{number}: a row is an object with a 'file_name'.")
        rows.append(row)
        lines.append(number)
    return table_of(rows, where, lines)


def table_of(rows: Sequence[Mapping[str, Any]], where: str, lines: Sequence[int] | None = None) -> Table:
    """A table of rows that are mappings; what a row does not have is None."""
    names: Iterable[str] = dict.fromkeys(str(name) for row in rows for name in row)
    columns = {name: [words(row.get(name)) for row in rows] for name in names}
    return Table(where, columns, lines or range(1, len(rows) + 1))


def _parquet(data: bytes, where: str) -> Table:
    try:
        frame: pd.DataFrame = pd.read_parquet(io.BytesIO(data))  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        raise DataError(f"{where} cannot be read as parquet: {error}.") from error
    frame = frame.astype(object).where(frame.notna(), None)
    columns = {str(name): [words(value) for value in frame[name]] for name in frame.columns}
    return Table(where, columns, range(1, len(frame) + 1))
