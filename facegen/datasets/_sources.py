"""Folders, zip and tar archives as one thing: relative names and how to read each. Nothing is extracted.

An archive whose entries point outside, or are links, is refused as a whole. Sizes are capped, so that a
small file cannot unfold to fill the memory or the disk.
"""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from facegen.errors import DataError, UsageError
from facegen.formats.files import storage_errors
from facegen.protocols import Progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_FILE_BYTES = 256 << 20
MAX_RATIO = 200  # photographs hardly shrink; what unfolds 200 times is an attack
_RATIO_MATTERS_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20

Load = Callable[[], bytes]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class SourceTree:
    """The files of a folder or archive: relative name (with `/`) -> how to read it, sorted by name."""

    root: Path
    files: Mapping[str, Load]

    def location(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.root.name}/{name}"

    def images(self) -> list[str]:
        """Names of image files."""
        return [name for name in self.files if name.casefold().endswith(IMAGE_SUFFIXES)]

    def find(self, wanted: Collection[str]) -> dict[str, Place]:
        """Where the files of these plain names are; of several with one name, the shallowest."""
        by_depth = sorted(self.files, key=lambda name: -name.count("/"))
        plain = {PurePosixPath(name).name: (self, name) for name in by_depth}
        return {name: place for name, place in plain.items() if name in wanted}

    def beside(self) -> SourceTree:
        """What lies beside this source, one folder deep."""
        return list_folder(self.root.absolute().parent, max_depth=1)

    def read_text(self, name: str) -> str:
        """A text file, UTF-8 with or without byte order mark.

        Raises:
            DataError: not UTF-8.
        """
        try:
            return self.files[name]().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.location(name)}: not UTF-8 text ({error.reason}).") from error


Place = tuple[SourceTree, str]
"""A tree and the name of a file in it."""


def read_first(
    places: Mapping[str, Place], names: Sequence[str], parse: Callable[[str, str], Parsed]
) -> Parsed | None:
    """What `parse` makes of the text and name of the first of `names` that is there; None where none is."""
    for tree, inner in (places[name] for name in names if name in places):
        return parse(tree.read_text(inner), inner)
    return None


def check_match(
    rows: Collection[str], images: Collection[str], place: str, *, strict: bool, row: str = "row"
) -> list[str]:
    """What to tell of rows without images and images without rows: one sentence, or none.

    Raises:
        DataError: there are such, and `strict` forbids them.
    """
    without_image, without_row = len(set(rows) - set(images)), len(set(images) - set(rows))
    gaps = [f"{without_image:,} {row}s have no image"] if without_image else []
    gaps += [f"{without_row:,} images have no {row} and are left out"] if without_row else []
    if not gaps:
        return []
    told = f"'{place}': {' and '.join(gaps)}; {len(set(rows) & set(images)):,} match."
    if strict:
        raise DataError(told, hint="Without --strict the images that match are used.")
    return [told]


def tell(told: Iterable[str], notes: list[str], progress: Progress) -> None:
    """Warn a person now, and keep it among the data set's `notes`."""
    for note in told:
        notes.append(note)
        progress.warn(note)


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
    name = path.name.casefold()
    if not name.endswith(ARCHIVE_SUFFIXES):
        raise DataError(f"'{path}' is neither a folder nor an archive ({', '.join(ARCHIVE_SUFFIXES)}).")
    try:
        return _list_zip(path) if name.endswith(".zip") else _list_tar(path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"'{path}' is damaged or not what its name says: {error}.") from error


def list_folder(root: Path, max_depth: int | None = None) -> SourceTree:
    """List a folder, hidden names left out, at most `max_depth` folders deep."""
    files: dict[str, Load] = {}
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        deeper = max_depth is None or depth < max_depth
        subfolders[:] = sorted(name for name in subfolders if not _hidden(name)) if deeper else []
        for name in names:
            if not _hidden(name):
                files[(here / name).relative_to(root).as_posix()] = partial(_read_file, here / name)
    return SourceTree(root, dict(sorted(files.items())))


def check_relative(name: str, where: str) -> None:
    """Refuse a name that is absolute or leaves its folder.

    Raises:
        DataError: names `where` it stood.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DataError(f"{where}: '{name}' points outside the data; it is refused.")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return path.read_bytes()


def _list_zip(path: Path) -> SourceTree:
    archive = zipfile.ZipFile(path)  # kept open: `load` reads from it, under its own lock
    files: dict[str, Load] = {}
    for entry in archive.infolist():
        check_relative(entry.filename, f"'{path}'")
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise DataError(f"'{path}': '{entry.filename}' is a link; it is refused.")
        if not entry.is_dir() and not any(_hidden(part) for part in entry.filename.split("/")):
            files[entry.filename] = partial(_read_zip_entry, archive, entry)
    return SourceTree(path, dict(sorted(files.items())))


def _read_zip_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    unfolds = entry.file_size > MAX_RATIO * max(1, entry.compress_size)
    if entry.file_size > MAX_FILE_BYTES or (unfolds and entry.file_size > _RATIO_MATTERS_BYTES):
        raise DataError(f"would unfold from {entry.compress_size:,} to {entry.file_size:,} bytes")
    try:
        with archive.open(entry) as file:
            return file.read(entry.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise DataError(f"damaged in the archive: {error}") from error


class _PlainTar:
    """An uncompressed tar that is read in slices, by several threads, and closed with its last reader."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read_slice(self, offset: int, size: int) -> bytes:
        if size > MAX_FILE_BYTES:
            raise DataError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        return os.pread(self.file.fileno(), size, offset)

    def __del__(self) -> None:
        self.file.close()


def _list_tar(path: Path) -> SourceTree:
    plain = _PlainTar(_gunzipped(path) if path.name.casefold().endswith("gz") else path.open("rb"))
    files: dict[str, Load] = {}
    with tarfile.open(fileobj=plain.file, mode="r:") as archive:
        for entry in archive:
            check_relative(entry.name, f"'{path}'")
            if entry.isdir():
                continue
            if not entry.isreg():
                raise DataError(f"'{path}': '{entry.name}' is a link or device; it is refused.")
            if not any(_hidden(part) for part in entry.name.split("/")):
                files[entry.name] = partial(plain.read_slice, entry.offset_data, entry.size)
    return SourceTree(path, dict(sorted(files.items())))


def _gunzipped(path: Path) -> IO[bytes]:
    """The tar inside a .tar.gz, in a nameless temporary file that is gone when it is closed."""
    allowed = MAX_RATIO * path.stat().st_size + _RATIO_MATTERS_BYTES
    plain = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this function
    try:
        with storage_errors(Path(tempfile.gettempdir())), gzip.open(path) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                plain.write(chunk)
                if plain.tell() > allowed:
                    raise DataError(
                        f"'{path}' unfolds to more than {MAX_RATIO} times its size; it is refused."
                    )
            plain.flush()
        plain.seek(0)
    except BaseException:
        plain.close()
        raise
    return plain
