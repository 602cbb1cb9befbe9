"""The folder in which copies of far data stand, kept within its bound.

    CACHE/far/1a2b3c4d-5e6f7a8b/NAME/        files of one version of one far folder, whole under their names
    CACHE/far/1a2b3c4d-5e6f7a8b.use/         `planned`: the bytes it will have; its time is the last use's
                                             *.lock: held while a process uses it
                                             FILE.fetch: held while a process fetches that file

CACHE is `FACEGEN_CACHE`, otherwise `~/.cache/facegen`; the bound is `FACEGEN_CACHE_GB`, otherwise 50, of 10^9
bytes each. What was used longest ago goes first; what a living process uses stays.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from facegen.caches import user_cache
from facegen.errors import StorageError, UsageError
from facegen.formats.disk import size_of
from facegen.formats.files import atomic_write, storage_errors

DEFAULT_BOUND_GB = 50.0
_held: dict[Path, FileLock] = {}  # the marks of this process


def cache_folder() -> Path:
    """Where copies of far data stand."""
    return user_cache().absolute() / "far"


def bound_bytes() -> int:
    """How large the cache may grow.

    Raises:
        UsageError: `FACEGEN_CACHE_GB` is not a positive number.
    """
    told = os.environ.get("FACEGEN_CACHE_GB") or str(DEFAULT_BOUND_GB)
    try:
        gigabytes = float(told)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < float("inf"):
        raise UsageError(
            f"FACEGEN_CACHE_GB={told} is not a number of gigabytes.", hint="FACEGEN_CACHE_GB=100"
        )
    return int(gigabytes * 1e9)


def reserve(folder: Path, num_bytes: int, what: str) -> None:
    """Mark `folder` as used by this process to its end, and make room for the `num_bytes` it will have.

    Raises:
        UsageError: `what` alone is larger than the cache may grow.
        StorageError: other processes use too much of it, or it cannot be written to.
    """
    bound = bound_bytes()
    if num_bytes > bound:
        raise UsageError(
            f"'{what}' takes {num_bytes / 1e9:.3g} GB, and the cache '{cache_folder()}' may hold "
            f"{bound / 1e9:.3g} GB.",
            hint=f"Let it grow: FACEGEN_CACHE_GB={1.2 * num_bytes / 1e9:.2g}; elsewhere: FACEGEN_CACHE=DIR",
        )
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_folder() / ".lock"):
            uses = uses_of(folder)
            uses.mkdir(exist_ok=True)
            if folder not in _held:
                mark = FileLock(uses / f"{uuid4().hex}.lock")  # host names and PIDs of containers repeat
                _held[folder] = mark
                mark.acquire()
            planned = max(num_bytes, _planned(folder))
            atomic_write(uses / "planned", str(planned))
            _make_room(folder, bound - planned)


def _make_room(kept: Path, room_bytes: int) -> None:
    """Remove unused folders beside `kept`, oldest use first, until the others take `room_bytes` at most."""
    others = [folder for folder in copies() if folder != kept]
    taken = {folder: max(size_of(folder), _planned(folder) if _in_use(folder) else 0) for folder in others}
    for folder in sorted(others, key=_last_use):
        if sum(taken.values()) <= room_bytes:
            return
        if not _in_use(folder):
            _remove(folder)
            del taken[folder]
    if sum(taken.values()) > room_bytes:
        raise StorageError(
            f"The cache '{cache_folder()}' is full of far data that running commands use.",
            hint="Wait for them, or let it grow: FACEGEN_CACHE_GB=...",
        )


def copies() -> list[Path]:
    """Folders of the cache that hold copies, used ones too."""
    return [uses.with_suffix("") for uses in sorted(cache_folder().glob("*.use"))]


def remove_unused(folder: Path) -> None:
    """Remove a copy.

    Raises:
        Timeout: a living process uses it.
    """
    with FileLock(cache_folder() / ".lock"):
        if _in_use(folder):
            raise Timeout(str(uses_of(folder)))
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(uses_of(folder), ignore_errors=True)


def uses_of(folder: Path) -> Path:
    """Where it stands who uses `folder`."""
    return folder.with_name(f"{folder.name}.use")


def _in_use(folder: Path) -> bool:
    """Whether a living process holds a mark; those of dead ones are removed."""
    if folder in _held:
        return True
    for mark in uses_of(folder).glob("*.lock"):
        try:
            with FileLock(mark, blocking=False):
                mark.unlink(missing_ok=True)
        except Timeout:
            return True
    return False


def _planned(folder: Path) -> int:
    with suppress(OSError, ValueError):
        return int((uses_of(folder) / "planned").read_text())
    return 0


def _last_use(folder: Path) -> float:
    with suppress(OSError):
        return (uses_of(folder) / "planned").stat().st_mtime
    return 0.0
