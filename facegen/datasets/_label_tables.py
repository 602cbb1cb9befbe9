"""Which tables label the images of a source: metadata, other tables, StyleGAN's, files beside images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from facegen.config.documents import parse_json
from facegen.datasets._match import ImageNames, Matched, file_column, match_rows, nothing_matches
from facegen.datasets._tables import TABLE_SUFFIXES, Table, read_table, read_text, table_of
from facegen.datasets._tree import SourceTree
from facegen.errors import DataError, UsageError

METADATA = "metadata"
_SIDECARS = {".txt": "text", ".caption": "text", ".cls": "label"}  # suffix -> column
_STYLEGAN = "dataset.json"
_FILE = "file_name"
_NO_LABELS = ("readme", "license", "licence", "requirements", "rejects", "account")
_MOST_TABLE_BYTES = 64 << 20


@dataclass(frozen=True)
class LabelTable:
    """A table, the column of it that names images, and what those names are relative to.

    `files` is location -> what it is, of every file that was read for it.
    """

    table: Table
    column: str
    names: ImageNames
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def matched(self) -> Matched:
        """Which row labels which image."""
        return match_rows(self.table, self.column, self.names)


def find_tables(tree: SourceTree, asked: str | None) -> tuple[list[LabelTable], dict[str, str]]:
    """The tables that label the images, and location -> why not, of other tables there.

    `asked` names one: a path in the source, or of a file anywhere. Otherwise metadata files go first, then
    any table that names images, then StyleGAN's dataset.json, then files beside each image.

    Raises:
        DataError: a metadata file or the asked one is malformed or names no image; or several tables label
            the same images differently.
        UsageError: there is no file of the asked name.
    """
    if asked is not None:
        return [_asked_table(tree, asked)], {}
    stems = {_stem(name): name for name in tree.images}
    tables = [name for name in tree.files if _may_be_table(name, stems)]
    metadata = [name for name in tables if PurePosixPath(name).stem.casefold() == METADATA]
    found = [_strict_table(tree, name) for name in metadata]
    found, unread = _one_each(found)
    others = [name for name in tables if name not in metadata]
    if found:
        return found, unread | dict.fromkeys(map(tree.location, others), "not read, as there is metadata")
    for name in others:
        label_table, why = _loose_table(tree, name)
        if label_table is None:
            unread[tree.location(name)] = why
        else:
            found.append(label_table)
    found, again = _one_each(found)
    unread |= again
    if not found and (stylegan := _stylegan(tree)) is not None:
        found = [stylegan]
    if not found and (sidecars := _beside_images(tree, stems)) is not None:
        found = [sidecars]
    return found, unread


def _may_be_table(name: str, stems: Mapping[str, str]) -> bool:
    path = PurePosixPath(name)
    if path.suffix.casefold() not in TABLE_SUFFIXES or path.stem.casefold() in _NO_LABELS:
        return False
    return path.suffix.casefold() != ".txt" or _stem(name) not in stems


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _strict_table(tree: SourceTree, name: str) -> LabelTable:
    """A metadata file, whose names are relative to its folder."""
    folder = PurePosixPath(name).parent.as_posix()
    prefix = "" if folder == "." else f"{folder}/"
    table = read_table(tree.files[name].load(), tree.location(name))
    names = ImageNames([image.removeprefix(prefix) for image in tree.images if image.startswith(prefix)])
    return _labelling(table, names, tree, prefix, {tree.location(name): "labels"})


def _asked_table(tree: SourceTree, asked: str) -> LabelTable:
    if asked in tree.files:
        return _strict_table(tree, asked)
    path = Path(asked)
    if not path.is_file():
        tables = [name for name in tree.files if name.casefold().endswith(TABLE_SUFFIXES)]
        raise UsageError(
            f"--labels '{asked}': no such file, in the source or elsewhere.",
            hint=f"Tables in the source: {', '.join(tables[:6]) or 'none'}.",
        )
    table = read_table(path.read_bytes(), path.name)
    return _labelling(
        table, ImageNames(tree.images), tree, "", {path.name: "labels, from outside the source"}
    )


def _labelling(
    table: Table, names: ImageNames, tree: SourceTree, folder: str, files: dict[str, str]
) -> LabelTable:
    column = file_column(table, names)
    if column is None:
        raise nothing_matches(table, column, names, f"{tree.root.name}/{folder}".rstrip("/"))
    return LabelTable(table, column, names, folder, files)


def _loose_table(tree: SourceTree, name: str) -> tuple[LabelTable | None, str]:
    """A table of any name, taken only if it names images; else why not."""
    if tree.files[name].size > _MOST_TABLE_BYTES:
        return None, "too large for a table of labels (--labels reads it)"
    try:
        table = read_table(tree.files[name].load(), tree.location(name))
    except DataError as error:
        return None, f"not read as a table: {str(error).splitlines()[0]}"
    parents = [PurePosixPath(name).parent.as_posix(), "."]
    for folder in dict.fromkeys(parents):
        prefix = "" if folder == "." else f"{folder}/"
        names = ImageNames([image.removeprefix(prefix) for image in tree.images if image.startswith(prefix)])
        column = file_column(table, names) if len(table.columns) > 1 else None
        if column is not None and len(table):
            return LabelTable(table, column, names, prefix, {tree.location(name): "labels"}), ""
    return None, "a table that names no image here (--labels reads it anyway)"


def _one_each(found: list[LabelTable]) -> tuple[list[LabelTable], dict[str, str]]:
    """Of tables that label the same images alike one; location -> why the others are not read.

    Raises:
        DataError: two of them label the same images, and not alike.
    """
    if len(found) < 2:
        return found, {}
    kept: list[tuple[LabelTable, dict[str, Any]]] = []
    unread: dict[str, str] = {}
    for each in found:
        said = _said(each)
        rival = next(((one, other) for one, other in kept if said.keys() & other.keys()), None)
        if rival is None:
            kept.append((each, said))
        elif all(said[image] == rival[1].get(image) for image in said):
            unread |= dict.fromkeys(each.files, f"not read, as it says the same as {rival[0].table.where}")
        else:
            raise DataError(
                f"'{rival[0].table.where}' and '{each.table.where}' both label images such as "
                f"'{next(iter(said.keys() & rival[1].keys()))}', and not alike.",
                hint="Say which one counts: --labels FILE",
            )
    return [one for one, _ in kept], unread


def _said(each: LabelTable) -> dict[str, Any]:
    """Image -> what the table says of it."""
    columns = {name: cells for name, cells in each.table.columns.items() if name != each.column}
    return {
        each.folder + image: {name: cells[row] for name, cells in columns.items()}
        for image, row in each.matched.row_of.items()
    }


def _stylegan(tree: SourceTree) -> LabelTable | None:
    """StyleGAN's dataset.json: {"labels": [["00000/img00000000.png", 3], ...]}, or null for none."""
    name = next((name for name in tree.files if PurePosixPath(name).name == _STYLEGAN), None)
    if name is None:
        return None
    where = tree.location(name)
    try:
        labels = parse_json(read_text(tree.files[name].load(), where)).get("labels")
    except (ValueError, AttributeError) as error:
        raise DataError(f"{where}: not StyleGAN's list of labels: {error}.") from error
    if not labels:
        return None
    if not isinstance(labels, list) or not all(
        isinstance(row, list) and len(row) == 2 and isinstance(row[1], int) for row in labels
    ):
        raise DataError(
            f"{where}: a row is not a file and the number of a class.", hint="--layout flat leaves it out."
        )
    table = table_of([{_FILE: file, "label": number} for file, number in labels], where)
    prefix = name.removesuffix(_STYLEGAN)
    names = ImageNames([image.removeprefix(prefix) for image in tree.images if image.startswith(prefix)])
    return _labelling(table, names, tree, prefix, {where: "labels"})


def _beside_images(tree: SourceTree, stems: Mapping[str, str]) -> LabelTable | None:
    """What files beside each image say: 7.txt a caption, 7.cls a class, 7.json further labels. `stems` has
    the images by name without suffix."""
    rows: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    for stem, column, name in _sidecars(tree, stems):
        where = tree.location(name)
        text = read_text(tree.files[name].load(), where).strip()
        row = rows.setdefault(stems[stem], {_FILE: stems[stem]})
        if column is not None:
            row[column] = " ".join(text.split())
        else:
            try:
                told = parse_json(text)
            except ValueError as error:
                raise DataError(f"{where}: not JSON: {error}.") from error
            if isinstance(told, dict):
                row |= {key: value for key, value in told.items() if not isinstance(value, dict | list)}
        files[where] = "labels"
    if not rows:
        return None
    kinds = sorted({PurePosixPath(where).suffix for where in files})
    table = table_of(list(rows.values()), f"{tree.root.name}/*{', *'.join(kinds)}")
    return LabelTable(table, _FILE, ImageNames(tree.images), "", files)


def _sidecars(tree: SourceTree, stems: Mapping[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """Stem, column (None for JSON) and name of each file that stands beside an image."""
    for name in tree.files:
        suffix, stem = PurePosixPath(name).suffix.casefold(), _stem(name)
        if (suffix in _SIDECARS or suffix == ".json") and stem in stems:
            yield stem, _SIDECARS.get(suffix), name
