"""The studio's folder of uploads and pictures, kept small however long the studio runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MAX_FILES = 400  # the history's pictures are 120 of them at most
MAX_BYTES = 500_000_000
UPLOADS = "files"


def tidy(folder: Path, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
    """Remove the oldest files in `folder`, and what is empty then, until the others are within the limits."""
    found = []
    for parent, _, names in os.walk(folder):  # which passes over what another thread removes meanwhile
        for path in (Path(parent, name) for name in names):
            with suppress(OSError):
                about = path.lstat()
                found.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in found)
    found.sort()
    for number, (_, size, path) in enumerate(found):
        if len(found) - number <= max_files and total <= max_bytes:
            return
        total -= size
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # of each upload its own; others are not empty


def remove_leftovers(folder: Path) -> None:
    """Remove what uploads left that broke off: it lies in their folder itself, what is whole below it."""
    for path in (folder / UPLOADS).iterdir():
        with suppress(OSError):  # a folder
            path.unlink()
