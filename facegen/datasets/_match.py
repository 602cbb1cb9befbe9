"""Which image a row of a table means, however it writes the name."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from facegen.datasets._tables import FILE_COLUMNS, Table
from facegen.datasets._tree import check_relative, plain_name
from facegen.errors import DataError

Key = Callable[[str], str]


def _suffixless(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.name else name


def _number(name: str) -> str:
    stem = PurePosixPath(name).stem if not name.isdigit() else name
    return str(int(stem)) if stem.isascii() and stem.isdigit() and len(stem) < 19 else ""


WITH_FOLDERS: dict[str, Key] = {
    "as they are": str,
    "whatever their case": str.casefold,
    "without suffix": lambda name: _suffixless(name).casefold(),
}
BY_FILE_NAME: dict[str, Key] = {
    "by file name, without their folders": lambda name: name.rpartition("/")[2].casefold(),
    "by file name, without folder and suffix": lambda name: _suffixless(name.rpartition("/")[2]).casefold(),
}
BY_NUMBER: dict[str, Key] = {
    "by number, without leading zeros": lambda name: _number(name.rpartition("/")[2]),
}
"""How names are compared, strictest first. A way counts only where it points to a single image that no
stricter way has found; the groups after the first only where no row at all matches in an earlier one, so that
in a part of a set a row of a missing `Ann/1.jpg` is not taken for `Bob/1.jpg`."""
_EXACT = next(iter(WITH_FOLDERS))
_ANYTHING_S_NUMBER = ("", "id", "name")  # a column of these may number whatever the table is about


class ImageNames:
    """The images of a folder, found by what a table calls them."""

    def __init__(self, images: Sequence[str]) -> None:
        self.images = images
        self._by_key: dict[str, dict[str, str]] = {}

    def find(
        self, names: Sequence[str | None], *, by_number: bool = True
    ) -> tuple[list[str | None], Counter[str]]:
        """The image that each name means, None where none or several are meant; how many in which way."""
        found: list[str | None] = [None] * len(names)
        by_way: Counter[str] = Counter()
        for ways in (WITH_FOLDERS, BY_FILE_NAME, BY_NUMBER if by_number else {}):
            for way, key in ways.items():
                taken, keys = {*found}, self._keys(way, key)
                for row, name in enumerate(names):
                    if (
                        name is not None
                        and found[row] is None
                        and (meant := keys.get(key(name))) not in taken
                    ):
                        found[row] = meant
                        by_way[way] += 1
            if by_way:
                break
        return found, by_way

    def nearest(self, name: str) -> str | None:
        """The image whose name is most like `name`."""
        return next(iter(difflib.get_close_matches(name, self.images[:5000], n=1, cutoff=0.0)), None)

    def _keys(self, way: str, key: Key) -> dict[str, str]:
        """Key -> the one image that has it."""
        if way not in self._by_key:
            keys = [key(image) for image in self.images]
            once = {each for each, count in Counter(keys).items() if count == 1 and each}
            self._by_key[way] = {k: i for k, i in zip(keys, self.images, strict=True) if k in once}
        return self._by_key[way]


@dataclass
class Matched:
    """`row_of` image -> row number of the table; `unmatched` rows name no image; `repairs` are to be told.

    `conflicts` are images that several rows label differently: image -> where those rows stand.
    """

    row_of: dict[str, int] = field(default_factory=dict[str, int])
    unmatched: list[int] = field(default_factory=list[int])
    conflicts: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    repairs: list[str] = field(default_factory=list[str])


def file_column(table: Table, names: ImageNames) -> str | None:
    """The column that names images: one so called, else any in which half the rows or more do; None without.

    Numbers count as names only where nothing else does, and only in a column that speaks of images or files.
    """
    called = {name.casefold(): name for name in table.columns}
    likely = [called[name] for name in FILE_COLUMNS if name in called]
    others = [name for name in table.columns if name not in likely]
    images = [name for name in likely if name.casefold() not in _ANYTHING_S_NUMBER]
    for candidates, by_number, least in (
        (likely, False, 1),
        (others, False, len(table) / 2),
        (images, True, 1),
    ):
        scores = {name: _score(table.columns[name], names, by_number=by_number) for name in candidates}
        best = max(scores.values(), default=0)
        if best and best >= least:
            return next(name for name in candidates if scores[name] == best)
    return None


def _score(cells: Sequence[str | None], names: ImageNames, *, by_number: bool) -> int:
    _, by_way = names.find([_inside(cell) if cell else None for cell in cells], by_number=by_number)
    return by_way.total()


def match_rows(table: Table, column: str, names: ImageNames) -> Matched:
    """Find the image of every row. Rows that repeat another count once; where they differ, none counts.

    Raises:
        DataError: a row names no file, or one outside the source.
    """
    cells = table.columns[column]
    for row, cell in enumerate(cells):
        if cell is None:
            raise DataError(f"{table.at(row)}: the column '{column}' names no file.")
        check_relative(_inside(cell), table.at(row))
    images, by_way = names.find([_inside(cell or "") for cell in cells])
    found = Matched()
    repeated = 0
    for row, image in enumerate(images):
        if image is None:
            found.unmatched.append(row)
        elif image in found.row_of:
            repeated += 1
            if not _same(table, column, found.row_of[image], row):
                found.conflicts.setdefault(image, [found.row_of[image]]).append(row)
        else:
            found.row_of[image] = row
    for image in found.conflicts:
        del found.row_of[image]
    for way, count in by_way.items():
        if way != _EXACT:
            found.repairs.append(f"{count:,} rows of {table.where} name their images {way}")
    repeated -= sum(len(rows) - 1 for rows in found.conflicts.values())
    if repeated:
        found.repairs.append(f"{repeated:,} rows of {table.where} repeat another word for word: taken once")
    if found.conflicts:
        image, rows = next(iter(found.conflicts.items()))
        lines = " and ".join(table.at(row).rpartition(":")[2] for row in rows)
        found.repairs.append(
            f"{len(found.conflicts):,} images are labelled differently by several rows of {table.where} and "
            f"left out (for example '{image}', lines {lines})"
        )
    return found


def nothing_matches(table: Table, column: str | None, names: ImageNames, place: str) -> DataError:
    """The refusal of a table no row of which names an image: an example of each side, the nearest match.

    Raises:
        DataError: a name leaves the folder.
    """
    if column is None:
        called = {name.casefold(): name for name in table.columns}
        column = next((called[name] for name in FILE_COLUMNS if name in called), None)
    first = next(iter(names.images), None)
    if column is None:
        return DataError(
            f"{table.where}: no column names the images of '{place}'.",
            hint=f"Columns there: {', '.join(table.columns)}. The first image is '{first}'.",
        )
    for row, cell in enumerate(table.columns[column]):
        check_relative(_inside(cell or "-"), table.at(row))
    name = next((cell for cell in table.columns[column] if cell), "")
    return DataError(
        f"{table.where}: none of its {len(table):,} rows names an image of '{place}'.",
        hint=f"Its first row names '{name}' (column '{column}'); the first image is '{first}', "
        f"the one most like it '{names.nearest(name)}'.",
    )


def check_match(
    rows: Collection[str], images: Collection[str], place: str, *, strict: bool, row: str = "row"
) -> list[str]:
    """What to tell of rows without images and images without rows: one sentence with an example of each, or
    none.

    Raises:
        DataError: there are such, and `strict` forbids them.
    """
    lone_rows, lone_images = sorted(set(rows) - set(images)), sorted(set(images) - set(rows))
    gaps = [f"{len(lone_rows):,} {row}s have no image (such as '{lone_rows[0]}')"] if lone_rows else []
    if lone_images:
        gaps.append(
            f"{len(lone_images):,} images have no {row} and are left out (such as '{lone_images[0]}')"
        )
    if not gaps:
        return []
    told = f"'{place}': {' and '.join(gaps)}; {len(set(rows) & set(images)):,} match."
    if strict:
        raise DataError(told, hint="Without --strict the images that match are used.")
    return [told]


def _inside(cell: str) -> str:
    return plain_name(cell.replace("\\", "/").removeprefix("./"))


def _same(table: Table, column: str, first: int, second: int) -> bool:
    return all(cells[first] == cells[second] for name, cells in table.columns.items() if name != column)
