"""How much room files take. Imports nothing beyond Python, for commands that must work anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def size_of(*paths: Path) -> int:
    """Bytes of files and of those in folders; links are not followed, and a file of several names (a hard
    link) counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in paths:
        files = [os.path.join(inner, name) for inner, _, names in os.walk(path) for name in names]
        for file in files if path.is_dir() else [path]:
            with suppress(OSError):  # gone meanwhile
                told = os.lstat(file)
                total += told.st_size if (told.st_dev, told.st_ino) not in seen else 0
                seen.add((told.st_dev, told.st_ino))
    return total


def size_text(count: int) -> str:
    """Bytes as people read them: "1.3 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
