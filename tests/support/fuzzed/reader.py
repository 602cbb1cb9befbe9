"""What is fuzzed: a reader, the inputs it is given, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Read = Callable[[Any], object]


@dataclass(frozen=True)
class Reader:
    """`opened` sets up a folder, once for many inputs, and gives what reads one of them.

    Reading ends with success or a `FacegenError`; anything else is a fault.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    opened: Callable[[Path], AbstractContextManager[Read]]


def plainly(read: Read) -> Callable[[Path], AbstractContextManager[Read]]:
    """The `opened` of what needs no folder."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Read]:
        yield read

    return opened


def from_file(name: str, read: Callable[[Path], object]) -> Callable[[Path], AbstractContextManager[Read]]:
    """The `opened` of what reads one file of this name."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Read]:
        path = folder / name

        def written(data: bytes) -> object:
            path.write_bytes(data)
            return read(path)

        yield written

    return opened
