"""The files of a source under names that mean the same everywhere, and an account of every one of them."""

from __future__ import annotations

import mimetypes
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from facegen.errors import DataError
from facegen.formats.images import IMAGE_SUFFIXES, image_format

MAX_FILE_BYTES = 256 << 20
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2")
_PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".heic", ".heif", ".hif", ".jxl", *RAW_SUFFIXES)
SYSTEM_NAMES = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "thumbs.db", "desktop.ini")
_KINDS_BY_SUFFIX = mimetypes.MimeTypes(filenames=())  # the module's own list, not the machine's
_OTHER_SUFFIXES = (".txt", ".caption", ".cls", ".jsonl", ".parquet", ".yaml", ".yml", ".md", ".xlsx", ".npy")

Load = Callable[[], bytes]


@dataclass(frozen=True)
class SourceFile:
    """One file: how to read it, its size in bytes, and when it was last changed (an archive's own time)."""

    load: Load
    size: int
    modified: float


@dataclass(frozen=True)
class SourceTree:
    """The files of a folder or archive, sorted by relative name (with `/`, in Unicode's composed form).

    `passed_over` has what is no part of the data, with the reason: hidden files, a system's own, pipes.
    """

    root: Path
    files: Mapping[str, SourceFile]
    passed_over: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def images(self) -> list[str]:
        """Names of image files: by suffix, or by their first bytes where the suffix says nothing."""
        return [name for name in self.files if self._is_image(name)]

    def _is_image(self, name: str) -> bool:
        suffix = PurePosixPath(name).suffix.casefold()
        if suffix in _PICTURE_SUFFIXES:
            return True
        if suffix in _OTHER_SUFFIXES or _KINDS_BY_SUFFIX.guess_type(f"_{suffix}")[0] is not None:
            return False
        file = self.files[name]
        return 0 < file.size <= MAX_FILE_BYTES and image_format(file.load()) is not None

    def location(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.root.name}/{name}"

    def record_of(self, name: str) -> dict[str, Any]:
        """What a `DatasetRecord` says of its file."""
        file = self.files[name]
        return {
            "load": _refuse_raw if name.casefold().endswith(RAW_SUFFIXES) else file.load,
            "location": self.location(name),
            "size": file.size,
            "modified": file.modified,
        }

    def find(self, wanted: Collection[str]) -> dict[str, Place]:
        """Where the files of these plain names are; of several with one name, the shallowest."""
        by_depth = sorted(self.files, key=lambda name: -name.count("/"))
        plain = {PurePosixPath(name).name: (self, name) for name in by_depth}
        return {name: place for name, place in plain.items() if name in wanted}

    def accounted(self, known: Collection[str]) -> dict[str, str]:
        """Location -> what it is, of every file that is not among the `known` names."""
        told = {name: _what_it_is(name) for name in self.files if name not in known}
        return {self.location(name): why for name, why in {**told, **self.passed_over}.items()}


Place = tuple[SourceTree, str]
"""A tree and the name of a file in it."""


def _refuse_raw() -> bytes:
    raise DataError("a camera's raw file is not read: develop it to TIFF, PNG or JPEG")


def _what_it_is(name: str) -> str:
    return "not an image" if not name.casefold().endswith(_PICTURE_SUFFIXES) else "an image that no row names"


def plain_name(raw: str) -> str:
    """A relative name as tables write it, in composed Unicode; bytes that are no UTF-8 as \\xNN."""
    name = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", name)


def archived_name(raw: str, where: str) -> str:
    """`plain_name` of an archive's entry, which may hold backslashes and begin with `./`.

    Raises:
        DataError: it is absolute or leaves the archive.
    """
    check_relative(raw, where)
    return plain_name(PurePosixPath(raw.replace("\\", "/")).as_posix())


def check_relative(name: str, where: str) -> None:
    """Refuse a name that is absolute or leaves its folder.

    Raises:
        DataError: names `where` it stood.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DataError(f"{where}: '{name}' points outside the data; it is refused.")


def passed_over(name: str) -> str:
    """Why a file of this relative name is no part of the data; empty for others."""
    parts = [part.casefold() for part in name.split("/")]
    if any(part in SYSTEM_NAMES for part in parts):
        return "the system's own"
    return "hidden" if any(part.startswith(".") for part in parts) else ""
