"""Zip and tar archives as a `SourceTree`. Nothing is extracted.

An archive with an entry or a link that points outside it is refused as a whole. Sizes are capped, so that a
small file cannot unfold to fill the memory or the disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO

from facegen.datasets._tree import (
    MAX_FILE_BYTES,
    SourceFile,
    SourceTree,
    archived_name,
    check_relative,
    passed_over,
)
from facegen.errors import DataError
from facegen.formats.files import storage_errors

MAX_RATIO = 200  # photographs hardly shrink; what unfolds 200 times is an attack
_RATIO_MATTERS_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_UNPACK: dict[str, Callable[[Path], IO[bytes]]] = {
    ".tar.gz": gzip.open,  # pyright: ignore[reportAssignmentType] - binary unless asked otherwise
    ".tgz": gzip.open,  # pyright: ignore[reportAssignmentType]
    ".tar.xz": lzma.open,  # pyright: ignore[reportAssignmentType]
    ".tar.bz2": bz2.open,  # pyright: ignore[reportAssignmentType]
}
ARCHIVE_SUFFIXES = (".zip", ".tar", *_UNPACK)
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_DAMAGED_ENTRY = (*_DAMAGED, OSError, RuntimeError, ValueError, struct.error)  # of its size, place or method


def list_archive(path: Path) -> SourceTree:
    """List a zip or tar archive; hidden names and a system's own are passed over.

    Raises:
        DataError: damaged, another format, or unsafe.
    """
    try:
        return _list_zip(path) if path.name.casefold().endswith(".zip") else _list_tar(path)
    except (*_DAMAGED, ValueError, struct.error, NotImplementedError) as error:
        raise DataError(f"'{path}' is damaged or not what its name says: {error}.") from error


class _Listing:
    """Entries as they are met; links are resolved at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = f"'{path}'"
        self.modified = path.stat().st_mtime
        self.files: dict[str, SourceFile] = {}
        self.skipped: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def add(self, raw: str, load: Callable[[], bytes], size: int) -> None:
        name = archived_name(raw, self.where)
        if why := passed_over(name):
            self.skipped[name] = why
        else:
            self.files[name] = SourceFile(load, size, self.modified)

    def add_link(self, raw: str, target: str) -> None:
        """A link to `target`, a name in the archive.

        Raises:
            DataError: it points outside.
        """
        name = archived_name(raw, self.where)
        try:
            check_relative(posixpath.normpath(target), self.where)
        except DataError as error:
            raise DataError(
                f"{self.where}: '{name}' is a link that points outside; it is refused."
            ) from error
        self.links[name] = archived_name(posixpath.normpath(target), self.where)

    def tree(self) -> SourceTree:
        for name, target in self.links.items():
            if target in self.files and not passed_over(name):
                self.files[name] = self.files[target]
            else:
                self.skipped[name] = "a link to nothing in the archive"
        return SourceTree(self.path, dict(sorted(self.files.items())), self.skipped)


def _list_zip(path: Path) -> SourceTree:
    archive = zipfile.ZipFile(path)  # kept open: `load` reads from it, under its own lock
    listing = _Listing(path)
    for entry in archive.infolist():
        if entry.filename and (entry.is_dir() or entry.filename.endswith("\\")):
            continue
        load = partial(_read_zip_entry, archive, entry)
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            target = load().decode("utf-8", "surrogateescape")
            listing.add_link(entry.filename, posixpath.join(posixpath.dirname(entry.filename), target))
        else:
            listing.add(entry.filename, load, entry.file_size)
    return listing.tree()


def _read_zip_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    unfolds = entry.file_size > MAX_RATIO * max(1, entry.compress_size)
    if entry.file_size > MAX_FILE_BYTES or (unfolds and entry.file_size > _RATIO_MATTERS_BYTES):
        raise DataError(f"would unfold from {entry.compress_size:,} to {entry.file_size:,} bytes")
    try:
        with archive.open(entry) as file:
            return file.read(entry.file_size + 1)
    except _DAMAGED_ENTRY as error:
        raise DataError(f"damaged in the archive: {error}") from error


class _PlainTar:
    """An uncompressed tar that is read in slices, by several threads, and closed with its last reader."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._place = Lock()  # of the file, where the system cannot read anywhere else (Windows)

    def read_slice(self, offset: int, size: int) -> bytes:
        if size > MAX_FILE_BYTES:
            raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), size, offset)
        with self._place:
            self.file.seek(offset)
            return self.file.read(size)

    def __del__(self) -> None:
        self.file.close()


def _list_tar(path: Path) -> SourceTree:
    opened = next((_UNPACK[suffix] for suffix in _UNPACK if path.name.casefold().endswith(suffix)), None)
    plain = _PlainTar(path.open("rb") if opened is None else _unpacked(path, opened))
    listing = _Listing(path)
    with tarfile.open(fileobj=plain.file, mode="r:") as archive:
        for entry in archive:
            if entry.isdir():
                continue
            if entry.islnk():
                listing.add_link(entry.name, entry.linkname)
            elif entry.issym():
                listing.add_link(entry.name, posixpath.join(posixpath.dirname(entry.name), entry.linkname))
            elif entry.isreg():
                listing.add(entry.name, partial(plain.read_slice, entry.offset_data, entry.size), entry.size)
            else:
                raise DataError(f"'{path}': '{entry.name}' is a device or pipe; it is refused.")
    return listing.tree()


def _unpacked(path: Path, opened: Callable[[Path], IO[bytes]]) -> IO[bytes]:
    """The tar inside a compressed one, in a nameless temporary file that is gone when it is closed."""
    allowed = MAX_RATIO * path.stat().st_size + _RATIO_MATTERS_BYTES
    plain = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this function
    try:
        with storage_errors(Path(tempfile.gettempdir())), opened(path) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                plain.write(chunk)
                if plain.tell() > allowed:
                    raise DataError(
                        f"'{path}' unfolds to more than {MAX_RATIO} times its size; it is refused."
                    )
            plain.flush()
        plain.seek(0)
    except OSError as error:  # bz2 says so of what is no bz2
        plain.close()
        raise DataError(f"'{path}' is damaged or not what its name says: {error}.") from error
    except BaseException:
        plain.close()
        raise
    return plain
