"""What was drawn since the studio started, newest first, so that any of it can be asked for again."""

from __future__ import annotations

from dataclasses import dataclass

from facegen.studio.drawing import Picture
from facegen.studio.state import Wish

MAX_ENTRIES = 60


@dataclass(frozen=True)
class Entry:
    """One wish and the first of its pictures."""

    number: int
    wish: Wish
    picture: Picture


class History:
    """`entries` of one studio; one thread adds to them, any may read."""

    def __init__(self) -> None:
        self.entries: tuple[Entry, ...] = ()

    def add(self, wish: Wish, picture: Picture) -> None:
        """Put a wish on top, where it moves to if it is there already; the oldest beyond 60 is forgotten."""
        number = self.entries[0].number + 1 if self.entries else 1
        others = (entry for entry in self.entries if entry.wish != wish)
        self.entries = (Entry(number, wish, picture), *others)[:MAX_ENTRIES]
