"""Writing files and folders so that a reader never meets half of one, and reading our JSON back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from facegen.config.documents import parse_json
from facegen.errors import DataError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_STORAGE_ERRNOS = {*_FULL, errno.EROFS, errno.EIO, errno.ENAMETOOLONG}
WRONG_CONTENT = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)
"""What libraries raise of a file that is whole and holds something else than it should."""
WORK_SUFFIX = ".partial"  # of the hidden folder where unfinished work stands, held by the `lock` in it
LONGEST_PREFIX = 100  # of a name in its temporary one, which must be no longer than a name may be


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn "disk full", "read-only" and "may not write" into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE_ERRNOS or isinstance(error, PermissionError) or _is_full(error):
            raise StorageError(
                f"Cannot write '{path}': {error.strerror or error}.",
                hint="Free space or choose another --out, then run the same command again: it resumes.",
            ) from error
        raise


@contextmanager
def saving(what: str) -> Generator[None]:
    """Turn every OSError while a run writes `what` into a `StorageError` that says how to go on."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = "the disk is full" if _is_full(error) else str(error)
        raise StorageError(
            f"Could not write {what}: {reason}.",
            hint="What was saved before still stands. Free some space and repeat the command with --resume.",
        ) from error


def _is_full(error: Exception) -> bool:
    """By number or text: pyarrow and safetensors wrap the number of an OSError in their own words."""
    text = str(error)
    return getattr(error, "errno", None) in _FULL or "No space left" in text or "File too large" in text


def atomic_write(path: Path, content: bytes | str | Callable[[IO[bytes]], Any]) -> None:
    """Write `path` under a temporary name beside it, fsync it and rename it into place.

    `content` is the bytes, the text (UTF-8) or a function that writes to the open binary file. What killed
    processes of this host left in the folder goes with a process's first write there.

    Raises:
        StorageError: the disk is full or may not be written; what stood at `path` still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent.absolute())
    temporary = path.with_name(f".{path.name[:LONGEST_PREFIX]}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with storage_errors(path):
            with temporary.open("wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _fsync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A hidden folder beside `path` that takes its name when the block succeeds, and is removed otherwise.

    Raises:
        OSError: the disk is full or may not be written, or `path` is a folder that is not empty.
    """
    with scratch_folder(path) as temporary:
        yield temporary
        put_in_place(temporary, path)


@contextmanager
def scratch_folder(path: Path) -> Generator[Path]:
    """A hidden folder beside `path` for as long as the block lasts.

    What killed processes of this host left of the same folder is removed first.

    Raises:
        OSError: the disk is full or may not be written.
    """
    prefix = f".{path.name[:LONGEST_PREFIX]}.{socket.gethostname()}"
    for leftover in path.parent.glob(f"{prefix}.*.tmp"):
        if is_leftover(leftover.name):
            shutil.rmtree(leftover, ignore_errors=True)
    temporary = path.with_name(f"{prefix}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Sync every file of the folder `temporary` and rename it to `path`, where at most an empty folder is.

    Raises:
        OSError: as `whole_folder`.
    """
    for entry in [temporary, *temporary.rglob("*")]:
        if entry.is_dir():
            _fsync_folder(entry)
        else:
            with entry.open("rb") as file:
                os.fsync(file.fileno())
    if path.exists():
        path.rmdir()
    temporary.rename(path)
    _fsync_folder(path.parent)


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes; once a process, as a folder may hold many names."""
    for leftover in folder.glob(f".*.{socket.gethostname()}.*.tmp"):
        if leftover.is_file() and is_leftover(leftover.name):
            with suppress(OSError):
                leftover.unlink()


def is_leftover(name: str) -> bool:
    """Whether it names a temporary file or folder of a process of this host that is gone."""
    host = re.escape(socket.gethostname())
    found = re.fullmatch(rf"\..+\.{host}\.(\d+)\.tmp", name)
    return found is not None and not is_running(found[1])


def is_running(pid: str) -> bool:
    """Whether a process of this host has the number `pid`, as far as can be told."""
    if os.name == "nt":  # where asking would stop the process
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # another user's, or no name of ours
        return True
    return True


def _fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the system lets a folder be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write `data` atomically as readable JSON; `data` carries its own `format_version`."""
    atomic_write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *format_versions: int) -> dict[str, Any]:
    """Read a JSON file of ours that must carry one of `format_versions`.

    Raises:
        DataError: the file is missing, not JSON, or of another format version.
    """
    try:
        loaded = parse_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"'{path}' does not exist.") from error
    except (ValueError, OSError) as error:
        raise DataError(f"'{path}' cannot be read as JSON: {error}.") from error
    data: dict[str, Any] = loaded if isinstance(loaded, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    found = data.get("format_version")
    if found not in format_versions:
        known = " and ".join(map(str, format_versions))
        raise DataError(
            f"'{path}' has format version {found}; this facegen reads version {known}.",
            hint="Make it anew with this facegen, or open it with the facegen that wrote it.",
        )
    return data


def sha256_of(source: Path | bytes) -> str:
    """SHA-256 of a file's content, or of the bytes given, as 64 hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
