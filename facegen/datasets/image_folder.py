"""Any folder or archive of images.

metadata.csv | .jsonl | .parquet   file_name and labels, as Hugging Face has them (also one per folder)
labels.csv, legend.tsv, ...        any table with a column that names the images
dataset.json                       StyleGAN's list of classes
7.jpg with 7.txt, 7.cls, 7.json    captions, classes and labels beside the images
train/ val/ [test/]                splits; inside them classes or plain images
CLASS/*.jpg                        a folder per class, or with `layout` people a folder per person
*.jpg, 00000/*.png                 images without labels, in shards or not
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._columns import Column, is_trinary, judge, numbers_rows, parse_form, some_of
from facegen.datasets._label_tables import LabelTable, find_tables
from facegen.datasets._layouts import Folders, Layout, read_folders, read_splits, split_named
from facegen.datasets._match import check_match
from facegen.datasets._sources import open_source, tell
from facegen.datasets._tree import SourceTree
from facegen.errors import DataError, UsageError, did_you_mean
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import DatasetRecord, DatasetReject, LabelSchema, Recognition

CAPTION_COLUMNS = ("text", "caption")
IDENTITY_COLUMNS = ("identity", "identity_id", "person", "person_id", "subject", "subject_id")
SPLIT_COLUMN = "split"
CLASS_COLUMN = "class"
LEAVE_OUT = "none"
_MOST_UNREAD = 6  # of other tables that the summary names; account.csv has them all
TAKEN = ("id", "image", "captions", "sha256")  # facegen's own columns


class Config(KindConfig, frozen=True):
    """`strict` makes an error of every gap and repair. `labels` is a table, in the source or elsewhere;
    `layout` what folders mean; `columns` column -> a label's name ("class:race", "yes-no:Smiling",
    "number:age"), "caption", "identity", "split" or "none"."""

    kind: Literal["image-folder"] = "image-folder"
    strict: bool = False
    labels: str | None = None
    layout: Layout = "auto"
    columns: dict[str, str] | None = None


@dataclass
class _Columns:
    """What the columns of all tables are: name -> column, and which column has which role."""

    labels: dict[str, Column] = field(default_factory=dict[str, Column])
    source_of: dict[str, str] = field(default_factory=dict[str, str])  # label -> column
    caption: str | None = None
    identity: str | None = None
    split: str | None = None
    left_out: dict[str, str] = field(default_factory=dict[str, str])

    def of_role(self, role: str) -> dict[str, Column]:
        return {name: column for name, column in self.labels.items() if column.role == role}


class ImageFolder(DatasetAdapter):
    """Plain image folders."""

    config: Config

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Find out which layout it is, say so, and read it.

        Raises:
            DataError: no images; a malformed table (file:line); two readings that are equally likely.
            UsageError: columns or a table that are not there.
        """
        tree = _without_wrapper(open_source(source, "image-folder"))
        if not tree.images:
            raise DataError(
                f"No images in '{tree.root}'.",
                hint=f"{len(tree.files)} files are there, none of them an image by its suffix (.jpg, .png, "
                ".webp, .avif, .jp2, .tif, .bmp, .gif, .ppm, ...) or its first bytes.",
            )
        tables, unread = [], dict[str, str]()
        if self.config.layout in ("auto", "table") or self.config.labels:
            tables, unread = find_tables(tree, self.config.labels)
        if self.config.layout == "table" and not tables:
            raise DataError(
                f"No table in '{tree.root}' names its images.", hint="Name one with --labels FILE."
            )
        self.files = {**tree.accounted(tree.images), **unread}
        for table in tables:
            self.files |= table.files
        if tables:
            yield from self._by_tables(tree, tables, unread, progress)
        else:
            self.read_as += _not_read(unread)
            yield from self._by_folders(tree, progress)

    def _by_folders(self, tree: SourceTree, progress: Progress) -> Iterator[DatasetRecord]:
        if self.config.columns:
            raise UsageError("--columns is for tables, and none labels these images.")
        folders = read_folders(tree.images, self.config.layout)
        self.read_as += folders.told
        self.repairs += folders.repairs
        if folders.class_names:
            self.labels = LabelSchema(classes={CLASS_COLUMN: folders.class_names})
        progress.say(f"Layout: {'; '.join(folders.told)}.")
        self._leave_out(tree, folders)
        for name in tree.images:
            if name not in folders.left_out:
                yield DatasetRecord(
                    id=name,
                    **tree.record_of(name),
                    classes={CLASS_COLUMN: folders.class_of.get(name)} if folders.class_names else {},
                    split=folders.split_of.get(name),
                    identity=folders.person_of.get(name),
                )

    def _by_tables(
        self, tree: SourceTree, tables: list[LabelTable], unread: dict[str, str], progress: Progress
    ) -> Iterator[DatasetRecord]:
        folders, _ = read_splits(tree.images)
        columns = self._judge(tables)
        self.labels = LabelSchema(
            tuple(columns.of_role("attribute")),
            {name: column.values for name, column in columns.of_role("class").items()},
        )
        self.read_as += [_described(each) for each in tables] + _lines(columns)
        self.read_as += [told for told in folders.told if told.startswith("splits")]
        self.read_as += _not_read(unread)
        progress.say("Labels: " + "; ".join(self.read_as) + ".")
        for each in tables:
            self.repairs += each.matched.repairs
        self._tell_gaps(tree, tables, folders, progress)
        self._leave_out(tree, folders)
        rows = {
            each.folder + image: (each, row) for each in tables for image, row in each.matched.row_of.items()
        }
        for name, (each, row) in rows.items():
            if name not in folders.left_out:
                yield self._record(tree, name, each, row, columns, folders)

    def _judge(self, tables: list[LabelTable]) -> _Columns:
        """Say of every column of the tables together what it is."""
        asked = dict(self.config.columns or {})
        names = list(dict.fromkeys(name for each in tables for name in each.table.columns))
        for column in asked:
            if column not in names:
                raise UsageError(
                    f"There is no column '{column}'.{did_you_mean(column, names)}",
                    hint=f"Columns there: {', '.join(names)}.",
                )
        cells = {
            name: [cell for each in tables for cell in each.table.columns.get(name, ())] for name in names
        }
        trinary = any(is_trinary(column) for column in cells.values())
        columns = _Columns()
        for name in names:
            if any(each.column == name for each in tables):
                continue
            form, label = parse_form(asked.get(name, name))
            if why := _left_out(name, label, cells[name]) if name not in asked or label == LEAVE_OUT else "":
                columns.left_out[name] = why
            elif form is None and (role := _role(label, columns)):
                setattr(columns, role, name)
            elif label in columns.labels or label in TAKEN:
                raise UsageError(
                    f"Two columns would be called '{label}'.", hint="Leave one out: none=COLUMN."
                )
            else:
                column = judge(
                    label, cells[name], form, lambda value, n=name: _first(tables, n, value), trinary=trinary
                )
                self._keep(columns, name, label, column)
        return columns

    def _keep(self, columns: _Columns, name: str, label: str, column: Column) -> None:
        if column.role == "nothing":
            columns.left_out[name] = column.told
            return
        columns.labels[label], columns.source_of[label] = column, name
        if column.mended:
            self.repairs.append(f"column '{name}': {column.mended}")

    def _record(
        self, tree: SourceTree, name: str, each: LabelTable, row: int, columns: _Columns, folders: Folders
    ) -> DatasetRecord:
        def cell(column: str | None) -> str | None:
            return each.table.columns[column][row] if column in each.table.columns else None

        values = {
            label: column.read(cell(columns.source_of[label])) for label, column in columns.labels.items()
        }
        split = cell(columns.split)
        if split is not None and split_named(split) is None:
            raise DataError(f"{each.table.at(row)}: split '{split}' is not one of train, validation, test.")
        extra = {**columns.of_role("number"), **columns.of_role("remark")}
        return DatasetRecord(
            id=name,
            **tree.record_of(name),
            attributes={label: values[label] for label in columns.of_role("attribute")},
            classes={label: values[label] for label in columns.of_role("class")},
            caption=cell(columns.caption),
            split=split_named(split) if split else folders.split_of.get(name),
            identity=cell(columns.identity),
            extra={label: values[label] for label in extra},
        )

    def _tell_gaps(
        self, tree: SourceTree, tables: list[LabelTable], folders: Folders, progress: Progress
    ) -> None:
        named = [
            each.folder + (each.table.columns[each.column][row] or "")
            for each in tables
            for row in each.matched.unmatched
        ]
        found = [each.folder + image for each in tables for image in each.matched.row_of]
        torn = [each.folder + image for each in tables for image in each.matched.conflicts]
        here = [name for name in tree.images if name not in folders.left_out and name not in torn]
        gaps = check_match(
            [*named, *found], here, tree.root.name, strict=self.config.strict, row="metadata row"
        )
        tell(gaps, self.notes, progress)
        for name in sorted({*here} - {*found}):
            self.files[tree.location(name)] = "an image that no row names"
        for name in torn:
            self.rejects.append(
                DatasetReject(name, tree.location(name), "conflict: rows of one table label it differently")
            )

    def _leave_out(self, tree: SourceTree, folders: Folders) -> None:
        self.rejects += [
            DatasetReject(name, tree.location(name), f"outside the splits: {why}")
            for name, why in folders.left_out.items()
        ]


build = ImageFolder


def recognise(tree: SourceTree) -> Recognition | None:
    """By images; more surely where something labels them."""
    tree = _without_wrapper(tree)
    if not tree.images:
        return None
    count = len(tree.images)
    try:
        tables, _ = find_tables(tree, None)
        folders = read_folders(tree.images, "auto")
    except DataError:  # which preparing will tell
        return Recognition(0.5, "a folder of images", count)
    if tables:
        return Recognition(0.8, f"images with labels in {tables[0].table.where}", count)
    return Recognition(0.6 if folders.class_names else 0.4, "; ".join(folders.told), count)


def _left_out(name: str, label: str, cells: list[str | None]) -> str:
    """Why a column is no label; "" for a label."""
    if label == LEAVE_OUT:
        return "as asked"
    lowered = name.casefold()
    unnamed = not name or name.startswith("Unnamed:")
    if unnamed or lowered in ("index", "id", "level_0"):
        if numbers_rows(cells):
            return "it numbers the rows"
        if unnamed:
            raise DataError(f"Column {name or 'without a name'} holds labels such as '{cells[0]}'. Name it.")
    if lowered == "id":
        return "facegen's own name; --columns NAME=id keeps it under another"
    return "facegen's own name" if label in TAKEN else ""


def _role(label: str, columns: _Columns) -> str:
    """The field of `_Columns` for a column that is no label; "" where it is one."""
    lowered = label.casefold()
    if lowered in CAPTION_COLUMNS and columns.caption is None:
        return "caption"
    if lowered in IDENTITY_COLUMNS and columns.identity is None:
        return "identity"
    return "split" if lowered == SPLIT_COLUMN else ""


def _first(tables: list[LabelTable], column: str, value: str) -> str:
    """Where a value stands first."""
    for each in tables:
        if value in (cells := each.table.columns.get(column, [])):
            return each.table.at(cells.index(value))
    return tables[0].table.where


def _not_read(unread: dict[str, str]) -> list[str]:
    return [f"{where}: {why}" for where, why in list(unread.items())[:_MOST_UNREAD]]


def _described(each: LabelTable) -> str:
    form = f", {each.table.form}" if each.table.form else ""
    return f"{each.table.where}: {len(each.table):,} rows, files named by column '{each.column}'{form}"


def _lines(columns: _Columns) -> list[str]:
    """A line for each kind of label, for a person to look over."""
    lines: list[str] = []
    if attributes := columns.of_role("attribute"):
        lines.append(f"yes/no: {_listed(columns, attributes)}")
    for name, column in columns.of_role("class").items():
        names = f"{len(column.values)} names ({some_of(column.values)})"
        lines.append(f"class {_listed(columns, {name: column})}: {names}")
    for role, words in (("number", "numbers"), ("remark", "kept as remarks")):
        if found := columns.of_role(role):
            lines.append(f"{words}: {_listed(columns, found)}")
    roles = {role: getattr(columns, role) for role in ("caption", "identity", "split")}
    lines += [f"{role} from column '{column}'" for role, column in roles.items() if column is not None]
    if columns.left_out:
        told = ", ".join(f"'{name}' ({why})" for name, why in columns.left_out.items())
        lines.append(f"columns left out: {told}")
    return lines


def _listed(columns: _Columns, found: dict[str, Column]) -> str:
    return ", ".join(
        name
        + (f" from '{columns.source_of[name]}'" if columns.source_of[name] != name else "")
        + (f" ({column.told})" if column.told else "")
        for name, column in found.items()
    )


def _without_wrapper(tree: SourceTree) -> SourceTree:
    """An archive often holds one folder that holds everything: look inside it."""
    if tree.root.is_dir():
        return tree
    tops = {name.split("/")[0] for name in tree.files}
    if len(tops) != 1 or any("/" not in name for name in tree.files):
        return tree
    prefix = f"{tops.pop()}/"
    inner = {name.removeprefix(prefix): file for name, file in tree.files.items()}
    return SourceTree(tree.root, inner, tree.passed_over)
