"""Far stores for tests: fsspec's memory file system, filled from folders, and what it may suffer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fsspec.implementations.memory import MemoryFileSystem


def put(folder: Path, url: str) -> str:
    """Copy a folder to a far address; returns the address."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            system.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return url


def names(url: str) -> list[str]:
    """What stands at a far address, by name."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url, skip_instance_cache=True)
    return sorted(path.removeprefix(root).lstrip("/") for path in system.find(root))


@contextmanager
def suffering(method: str, does: Any) -> Iterator[list[str]]:
    """While it lasts the memory file system's `method` first calls `does(path, number of call)`.

    Yields the paths it was called with.
    """
    real, asked = getattr(MemoryFileSystem, method), list[str]()

    def call(self: MemoryFileSystem, *words: Any, **options: Any) -> Any:
        path = str(words[1] if method == "put_file" else words[0])
        asked.append(path)
        changed = does(path, asked.count(path))
        result = real(self, *words, **options)
        return result if changed is None else changed(result)

    with patch.object(MemoryFileSystem, method, call):
        yield asked
