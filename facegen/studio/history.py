"""What was drawn since the studio started, newest first, so that any of it can be asked for again."""

from __future__ import annotations

import threading
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
    """Entries of one studio; safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._count = 0
        self._lock = threading.Lock()

    def add(self, wish: Wish, picture: Picture) -> None:
        """Put a wish on top, where it moves to if it is there already; the oldest beyond 60 is forgotten."""
        with self._lock:
            self._count += 1
            others = [entry for entry in self._entries if entry.wish != wish]
            self._entries = [Entry(self._count, wish, picture), *others][:MAX_ENTRIES]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Newest first."""
        with self._lock:
            return tuple(self._entries)

    def wish(self, number: int) -> Wish | None:
        """What was asked for in entry `number`, if it is still remembered."""
        return next((entry.wish for entry in self.entries if entry.number == number), None)
