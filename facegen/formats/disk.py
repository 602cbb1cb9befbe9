"""How much room files take. Imports nothing beyond Python, for commands that must work anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def size_of(*paths: Path) -> int:
    """Bytes of files and of those in folders; links are not followed, and a file of several names (a hard
    link) counts once."""
    return sum(told.st_size for told, _ in _files(paths))


def freed_by(*paths: Path) -> int:
    """Bytes that removing them would free: files that go on under another name count for nothing."""
    return sum(told.st_size for told, names in _files(paths) if names >= told.st_nlink)


def _files(paths: Iterable[Path]) -> list[tuple[os.stat_result, int]]:
    """Each file once, and under how many names it was met."""
    found: dict[tuple[int, int], tuple[os.stat_result, int]] = {}
    for path in paths:
        inner = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        for file in inner if path.is_dir() else [path]:
            with suppress(OSError):  # gone meanwhile
                told = os.lstat(file)
                key = (told.st_dev, told.st_ino)
                found[key] = (told, found[key][1] + 1 if key in found else 1)
    return list(found.values())


def size_text(count: int) -> str:
    """Bytes as people read them: "1.3 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
