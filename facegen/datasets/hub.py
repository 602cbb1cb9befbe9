"""Image data sets in parquet: ORG/NAME on the Hugging Face hub, or a folder of such files.

data/train-00000-of-00002.parquet     what the `datasets` library writes, and `facegen prepare` too
SUBSET/SPLIT/0000.parquet             the copies that the hub makes of data sets in other formats
README.md                             its YAML head may name subsets, splits and classes
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa

from facegen.config.kinds import KindConfig
from facegen.datasets._hub_columns import ColumnPlan, features_of, is_plain
from facegen.datasets._hub_files import (
    HUB_NAME,
    ParquetSet,
    Parts,
    choose_files,
    in_turns,
    open_folder,
    open_hub,
)
from facegen.datasets._parquet_images import ImageReader, read_columns, read_schema
from facegen.datasets._tree import SourceTree
from facegen.errors import DataError, UsageError
from facegen.protocols import DatasetAdapter, Progress, ProgressTask
from facegen.types import DatasetRecord, LabelSchema, Recognition


class Config(KindConfig, frozen=True):
    """`columns` is column -> what it becomes: a label's name, with a form before it where it is not what its
    values say ("class:race", "yes-no:Smiling", "number:age"), "image", "caption", "identity", "split", "id"
    or "none". `limit` is how many images will be used at most, so that no more
    files are fetched than hold as many."""

    kind: Literal["hub"] = "hub"
    revision: str | None = None
    subset: str | None = None
    columns: dict[str, str] | None = None
    limit: int | None = None


class Hub(DatasetAdapter):
    """Parquet files with pictures in them."""

    config: Config

    def is_remote(self, source: Path) -> bool:
        """Whether `source` means ORG/NAME on the hub: it looks like that, and nothing local has that name."""
        return not source.exists() and HUB_NAME.fullmatch(source.as_posix()) is not None

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Fetch what is needed, show what the columns were taken for, and read the rows.

        Raises:
            MissingModelError: offline and not cached, no such data set, or access refused.
            UsageError: no source, an unknown subset, or columns that are not there.
            DataError: no parquet files, no pictures, or files that do not fit together.
            StorageError: a file arrives damaged again and again, or the disk is full.
        """
        if source is None:
            raise UsageError(
                "'hub' needs a data set's name or a folder of parquet files.",
                hint="facegen prepare hub ORG/NAME --out DIR",
            )
        if self.is_remote(source):
            parquet = open_hub(source.as_posix(), self.config.revision)
        elif self.config.revision is not None:
            raise UsageError("--revision is for data sets on the hub.", hint=f"'{source}' is a local path.")
        else:
            parquet = open_folder(source)
        licence = parquet.card.get("license")
        self.licence = ", ".join(map(str, licence)) if isinstance(licence, list) else licence
        if parquet.commit is not None:
            self.notes.append(f"{parquet.title} of the hub, commit {parquet.commit}.")
        if parquet.from_cache:
            progress.warn(
                f"The hub does not answer; '{parquet.title}' is read from its cache, which may lack files."
            )
        yield from self._read(parquet, progress)

    def _read(self, parquet: ParquetSet, progress: Progress) -> Iterator[DatasetRecord]:
        """Show what one file's columns are before the others are fetched; look again at all of them."""
        parts = choose_files(parquet, self.config.subset)
        first = in_turns(parts)[0]
        verb = "reading" if parquet.commit is None else "fetching"
        with progress.stage(f"{verb} {first}"):
            paths = {first: parquet.fetch(first)}
        schema, _ = read_schema(paths[first])
        plain = [column.name for column in schema if is_plain(column.type)]
        features = features_of(parquet.card, self.config.subset, schema)
        asked = self.config.columns or {}
        plan = ColumnPlan(schema, read_columns(paths[first], plain), features, asked)
        _show(plan, f"Columns of '{parquet.title}'", progress)
        with progress.stage(f"{verb} {parquet.title}", total=len(parts)) as task:
            self._fetch_rest(parquet, parts, paths, task)
        labels = _all_labels(plain, plan.roles["image"], [paths[name] for name in parts if name in paths])
        final = ColumnPlan(schema, labels, features, asked)
        if final.lines() != plan.lines():
            _show(final, "Columns, after a look at all files", progress)
        self.labels = LabelSchema(
            tuple(final.attributes), {name: final.readings[name].values for name in final.classes}
        )
        self.read_as += final.lines()
        mended = {name: reading.mended for name, reading in final.readings.items()}
        self.repairs += [f"{name}: {told}" for name, told in mended.items() if told]
        self.files = dict.fromkeys(paths, "rows and pictures")
        yield from _records(parquet, parts, paths, labels, final)

    def _fetch_rest(
        self, parquet: ParquetSet, parts: Parts, paths: dict[str, Path], task: ProgressTask
    ) -> None:
        """Fetch every file, or with a limit as many as hold enough images."""
        limit = self.config.limit
        splits = len(set(parts.values()))
        total = sum(parquet.sizes[name] for name in parts)
        rows = fetched = 0
        for number, name in enumerate(in_turns(parts) if limit else parts):
            if limit and number >= splits and rows >= limit:
                break
            paths[name] = paths.get(name) or parquet.fetch(name)
            rows += read_schema(paths[name])[1]
            fetched += parquet.sizes[name]
            size = f"{fetched / 1e6:,.1f} of {total / 1e6:,.1f} MB"
            task.advance(1, **({"size": size} if total else {}))
        if len(paths) < len(parts):
            self.notes.append(f"{len(paths)} of {len(parts)} files were read: enough for --limit {limit}.")


build = Hub


def _show(plan: ColumnPlan, title: str, progress: Progress) -> None:
    lines = "\n".join(f"  {line}" for line in plan.lines())
    progress.say(f"{title} (change with --columns NAME=COLUMN,...; none=COLUMN leaves out):\n{lines}")


def _all_labels(plain: list[str], image: str, paths: list[Path]) -> pa.Table:
    """Every column but the pictures, of all files, and the pictures' own file names as `image.path`."""
    for path in paths:
        if image not in read_schema(path)[0].names:
            raise DataError(f"'{path.name}' has no column '{image}', which other files of the set have.")
    tables = [read_columns(path, [*plain, f"{image}.path"]) for path in paths]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"The files' columns do not fit together: {error}.", hint="Choose some of them with --subset."
        ) from error


def recognise(tree: SourceTree) -> Recognition | None:
    """By its parquet files, where they are more than the images beside them."""
    names = [name for name in tree.files if name.endswith(".parquet")]
    if len(names) <= len(tree.images) or not tree.root.is_dir():
        return None
    rows = sum(read_schema(tree.root / name)[1] for name in names)
    return Recognition(0.9, f"{len(names)} parquet files", rows)


def _records(
    parquet: ParquetSet, parts: Parts, paths: dict[str, Path], labels: pa.Table, plan: ColumnPlan
) -> Iterator[DatasetRecord]:
    ids = _ids(labels, plan)
    reader = ImageReader(plan.roles["image"])
    version = f"@{parquet.commit[:7]}" if parquet.commit else ""
    start = 0
    for name in (name for name in parts if name in paths):
        count = read_schema(paths[name])[1]
        modified = paths[name].stat().st_mtime if parquet.commit is None else None
        for row, values in enumerate(labels.slice(start, count).to_pylist()):
            yield DatasetRecord(
                id=ids[start + row] if ids else f"{name.removesuffix('.parquet')}:{row}",
                load=partial(reader.load, paths[name], row),
                location=f"{parquet.title}{version}/{name}:{row}",
                modified=modified,
                **plan.labels_of(values, parts[name]),
            )
        start += count


def _ids(labels: pa.Table, plan: ColumnPlan) -> list[str] | None:
    """The data's own ids: a column of them, else the pictures' file names if each has another."""
    if "id" in plan.roles:
        return [str(value) for value in labels[plan.roles["id"]].to_pylist()]
    if plan.roles["image"] not in labels.column_names:
        return None
    names = [(cell or {}).get("path") for cell in labels[plan.roles["image"]].to_pylist()]
    known = [name for name in names if name]
    return known if len(set(known)) == len(names) else None
