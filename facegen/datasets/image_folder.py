"""Any folder or archive of images, in one of four layouts.

metadata.csv | metadata.jsonl      Hugging Face's: file_name and labels (also one per split folder)
train/ val/ [test/]                splits; inside them classes or plain images
CLASS/*.jpg                        a folder per class
*.jpg                              images without labels
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._metadata import (
    IDENTITY_COLUMN,
    SPLIT_COLUMN,
    MetadataRow,
    read_metadata,
    sort_columns,
    yes_no,
)
from facegen.datasets._sources import IMAGE_SUFFIXES, SourceTree, check_match, open_source, tell
from facegen.errors import DataError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import DatasetRecord, LabelSchema

METADATA_FILES = ("metadata.csv", "metadata.jsonl")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
CLASS_COLUMN = "class"


class Config(KindConfig, frozen=True):
    """`strict` makes an error of metadata rows without images, and of images without rows."""

    kind: Literal["image-folder"] = "image-folder"
    strict: bool = False


class ImageFolder(DatasetAdapter):
    """Plain image folders."""

    config: Config

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Find out which layout it is, say so, and read it.

        Raises:
            DataError: no images, or a malformed metadata file (file:line).
        """
        tree = open_source(source, "image-folder")
        tree = _without_wrapper(tree)
        images = tree.images()
        if not images:
            raise DataError(
                f"No images in '{tree.root}'.",
                hint=f"Looked for {', '.join(IMAGE_SUFFIXES)}, folders included; {len(tree.files)} others.",
            )
        metadata = [name for name in tree.files if PurePosixPath(name).name in METADATA_FILES]
        if metadata:
            progress.say(f"Layout: Hugging Face metadata ({', '.join(metadata)}).")
            yield from self._with_metadata(tree, images, metadata, progress)
        else:
            yield from self._by_folders(tree, images, progress)

    def _by_folders(self, tree: SourceTree, images: list[str], progress: Progress) -> Iterator[DatasetRecord]:
        split_folders = _split_folders(images)
        parts_of = {name: PurePosixPath(name).parts[bool(split_folders) : -1] for name in images}
        classes = tuple(sorted({parts[0] for parts in parts_of.values() if parts}))
        layout = "a folder per class" if classes else "images without labels"
        progress.say(f"Layout: {', '.join(split_folders) + ' with ' if split_folders else ''}{layout}.")
        if classes:
            self.labels = LabelSchema(classes={CLASS_COLUMN: classes})
        for name in images:
            parts = parts_of[name]
            yield DatasetRecord(
                id=name,
                load=tree.files[name],
                location=tree.location(name),
                classes={CLASS_COLUMN: parts[0] if parts else None} if classes else {},
                split=SPLIT_FOLDERS[name.split("/")[0].casefold()] if split_folders else None,
            )

    def _with_metadata(
        self, tree: SourceTree, images: list[str], metadata: list[str], progress: Progress
    ) -> Iterator[DatasetRecord]:
        split_folders = _split_folders([name for name in images if "/" in name])
        found: list[tuple[str, MetadataRow]] = []
        for file in metadata:
            folder = PurePosixPath(file).parent
            rows = read_metadata(tree.read_text(file), tree.location(file))
            found += [((folder / row.file_name).as_posix(), row) for row in rows]
        columns = sort_columns([row for _, row in found])
        self.labels = LabelSchema(tuple(columns.attributes), columns.classes)
        known = set(images)
        names = [name for name, _ in found]
        gaps = check_match(names, known, tree.root.name, strict=self.config.strict, row="metadata row")
        tell(gaps, self.notes, progress)
        if columns.remarks:
            self.notes.append(f"Kept as remarks, not as classes: {', '.join(columns.remarks)}.")
        for name, row in found:
            if name not in known:
                continue
            values = row.values
            split = values.get(SPLIT_COLUMN) or (name.split("/")[0] if split_folders else None)
            if split is not None and split.casefold() not in SPLIT_FOLDERS:
                raise DataError(f"{row.where}: split '{split}' is not one of {', '.join(SPLIT_FOLDERS)}.")
            numbers = {
                key: None if (text := values.get(key)) is None else read(text)
                for key, read in columns.numbers.items()
            }
            yield DatasetRecord(
                id=name,
                load=tree.files[name],
                location=tree.location(name),
                attributes={key: yes_no(values.get(key)) for key in columns.attributes},
                classes={key: values.get(key) for key in columns.classes},
                caption=values.get(columns.caption) if columns.caption else None,
                split=SPLIT_FOLDERS[split.casefold()] if split else None,
                identity=values.get(IDENTITY_COLUMN),
                extra={**numbers, **{key: values.get(key) for key in columns.remarks}},
            )


build = ImageFolder


def _split_folders(images: list[str]) -> list[str]:
    """Top folders, if every one of them is named like a split; else none."""
    tops = {name.split("/")[0] if "/" in name else "" for name in images}
    splits = all(top.casefold() in SPLIT_FOLDERS for top in tops)
    return sorted(tops) if splits and any(SPLIT_FOLDERS[top.casefold()] == "train" for top in tops) else []


def _without_wrapper(tree: SourceTree) -> SourceTree:
    """An archive often holds one folder that holds everything: look inside it."""
    if tree.root.is_dir():
        return tree
    tops = {name.split("/")[0] for name in tree.files}
    if len(tops) != 1 or any("/" not in name for name in tree.files):
        return tree
    prefix = f"{tops.pop()}/"
    inner = {name.removeprefix(prefix): load for name, load in tree.files.items()}
    deeper = any("/" in name for name in inner) or any(name in METADATA_FILES for name in inner)
    return SourceTree(tree.root, inner) if deeper else tree
