"""Opens a source, a folder or archive, and finds the files of labels that belong to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from facegen.datasets._archives import ARCHIVE_SUFFIXES, list_archive
from facegen.datasets._tables import read_text
from facegen.datasets._tree import MAX_FILE_BYTES, Place, SourceFile, SourceTree, passed_over, plain_name
from facegen.errors import DataError, UsageError
from facegen.protocols import Progress

Parsed = TypeVar("Parsed")


def open_source(path: Path | None, kind: str) -> SourceTree:
    """List a folder or archive.

    Raises:
        UsageError: no source was given.
        DataError: it does not exist, is neither folder nor archive, is damaged or is unsafe.
    """
    if path is None:
        raise UsageError(
            f"'{kind}' needs a source.", hint=f"facegen prepare {kind} FOLDER_OR_ARCHIVE --out DIR"
        )
    if path.is_dir():
        return list_folder(path)
    if not path.is_file():
        raise DataError(f"'{path}' does not exist.")
    if not path.name.casefold().endswith(ARCHIVE_SUFFIXES):
        raise DataError(f"'{path}' is neither a folder nor an archive ({', '.join(ARCHIVE_SUFFIXES)}).")
    return list_archive(path)


def list_folder(root: Path) -> SourceTree:
    """List a folder; hidden names and a system's own are passed over, links followed, never in a circle."""
    walk = _Walk()
    walk.into(root, "", os.path.realpath(root), frozenset())
    return SourceTree(root, dict(sorted(walk.files.items())), walk.skipped)


def find_texts(
    tree: SourceTree, wanted: Collection[str], labels: str | None, read_from: dict[str, str]
) -> dict[str, Place]:
    """Where the files of these names are: in the source and, if `labels` names a folder or file, there first.

    `read_from` is told of each, by location.

    Raises:
        UsageError: there is nothing of that name, or none of the files in it.
    """
    found = tree.find(wanted)
    if labels is not None:
        place = Path(labels)
        if not place.exists():
            raise UsageError(f"--labels '{labels}' does not exist.")
        outside = (
            list_folder(place) if place.is_dir() else SourceTree(place.parent, {place.name: _file(place)})
        )
        given = outside.find(wanted)
        if not given:
            raise UsageError(f"--labels '{labels}' holds none of {', '.join(wanted)}.")
        found |= given
        read_from |= {each.location(name): "labels, from outside the source" for each, name in given.values()}
    read_from |= {tree.location(name): "labels" for each, name in found.values() if each is tree}
    return found


def near(tree: SourceTree, wanted: Collection[str]) -> str:
    """A hint where files of these names lie beside the source: they are not read unasked. Else ""."""
    parent = tree.root.absolute().parent
    folders = (
        [parent, *(each for each in sorted(parent.iterdir()) if each.is_dir())] if parent.is_dir() else []
    )
    found = [folder for folder in folders if any((folder / name).is_file() for name in wanted)]
    outside = next((folder for folder in found if folder != tree.root.absolute()), None)
    return f" Beside the source there is one: --labels {os.path.relpath(outside)}" if outside else ""


def read_first(
    places: Mapping[str, Place], names: Sequence[str], parse: Callable[[str, str], Parsed]
) -> Parsed | None:
    """What `parse` makes of the text and name of the first of `names` that is there; None where none is."""
    for tree, inner in (places[name] for name in names if name in places):
        return parse(read_text(tree.files[inner].load(), inner), inner)
    return None


def read_lines(texts: Mapping[str, Place], kinds: Mapping[tuple[str, ...], str]) -> list[str]:
    """ "attributes from CelebA/list_attr_celeba.txt": what was read from which file; `kinds` is by names."""
    lines: list[str] = []
    for names, what in kinds.items():
        place = next((texts[name] for name in names if name in texts), None)
        lines += [] if place is None else [f"{what} from {place[0].location(place[1])}"]
    return lines


def tell(told: Iterable[str], notes: list[str], progress: Progress) -> None:
    """Warn a person now, and keep it among the data set's `notes`."""
    for note in told:
        notes.append(note)
        progress.warn(note)


class _Walk:
    """Every file below a folder. A folder that links lead to is followed once."""

    def __init__(self) -> None:
        self.files: dict[str, SourceFile] = {}
        self.skipped: dict[str, str] = {}
        self._followed: set[str] = set()

    def into(self, folder: Path, prefix: str, real: str, above: frozenset[str]) -> None:
        """List `folder`, whose files are named under `prefix`; `real` is where it truly is."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.skipped[plain_name(prefix) or "."] = f"a folder that may not be read: {error.strerror}"
            return
        for entry in entries:
            relative = f"{prefix}{entry.name}"
            if not entry.is_dir():
                self._add(entry, relative)
            elif why := passed_over(relative):
                self.skipped[f"{plain_name(relative)}/"] = why
            else:
                inner = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                if entry.is_symlink() and (inner in {*above, real, *self._followed}):
                    self.skipped[f"{plain_name(relative)}/"] = "a link to a folder that is read already"
                    continue
                self._followed |= {inner} if entry.is_symlink() else set()
                self.into(Path(entry.path), f"{relative}/", inner, above | {real})

    def _add(self, entry: os.DirEntry[str], relative: str) -> None:
        name = plain_name(relative)
        name = relative if name in self.files else name  # two spellings of one name are two files
        try:
            found = entry.stat()
        except OSError as error:
            self.skipped[name] = "a link to nothing" if entry.is_symlink() else f"{error.strerror}"
            return
        if why := passed_over(name):
            self.skipped[name] = why
        elif not stat.S_ISREG(found.st_mode):
            self.skipped[name] = "no file: a pipe, socket or device"
        else:
            self.files[name] = _file(Path(entry.path), found)


def _file(path: Path, found: os.stat_result | None = None) -> SourceFile:
    found = found or path.stat()
    return SourceFile(partial(_read_file, path), found.st_size, found.st_mtime)


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return path.read_bytes()
