"""The page's windows: which of them listen, and what each has asked to be drawn.

A window asks for a drawing by one request and hears of it by another, its stream of answers. Whoever hears
nothing is drawn nothing, and nobody has two drawings at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

MAX_DRAWINGS = 8  # that run or wait, of all windows together
GRACE_SECONDS = 5.0  # from asking to listening, and for a line that breaks
LOOK_SECONDS = 0.05
TWO_AT_ONCE = "This window has a drawing that runs or waits already. Wait for its end, or stop it."
FULL = f"{MAX_DRAWINGS} drawings run or wait already, and that is the most. Try again when one has ended."


@dataclass(eq=False)
class Stream:
    """A window's open stream of answers; `is_full` while the window does not take what was sent."""

    opened: float
    is_full: bool = False


@dataclass
class _Drawing:
    """What a window has asked for, and when; `since` when it is there without a stream of the window."""

    asked: float
    since: float
    is_stopped: bool = False


class Windows:
    """Windows by their session's name. The server's loop and the threads that draw use it at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._streams: dict[str, list[Stream]] = {}
        self._drawings: dict[str, _Drawing] = {}

    def take(self, window: str) -> str | None:
        """Note that the window asks for a drawing; why it may not, in words, where it may not."""
        with self._lock:
            self._forget_the_gone()
            if window in self._drawings:
                return TWO_AT_ONCE
            if len(self._drawings) >= MAX_DRAWINGS:
                return FULL
            now = self._clock()
            self._drawings[window] = _Drawing(asked=now, since=now)
            return None

    def release(self, window: str) -> None:
        """The window's drawing has ended."""
        with self._lock:
            self._drawings.pop(window, None)

    def stop(self, window: str) -> None:
        """End the window's drawing, if it has one, at its next step; also one that waits."""
        with self._lock:
            if drawing := self._drawings.get(window):
                drawing.is_stopped = True

    def is_alone(self, window: str) -> bool:
        """Whether no other window has a drawing that runs or waits."""
        with self._lock:
            return all(name == window or self._is_gone(name, one) for name, one in self._drawings.items())

    def is_over(self, window: str) -> bool:
        """Whether the window's drawing was stopped, or nobody is there any more to see it."""
        with self._lock:
            drawing = self._drawings.get(window)
            return drawing is None or drawing.is_stopped or self._is_gone(window, drawing)

    def hears(self, window: str) -> bool:
        """Whether the window takes another answer now."""
        with self._lock:
            return any(not stream.is_full for stream in self._streams.get(window, ()))

    def wait(self, window: str) -> bool:
        """Wait until the window hears; False where its drawing is over before."""
        while not self.hears(window):
            if self.is_over(window):
                return False
            time.sleep(LOOK_SECONDS)
        return True

    @contextmanager
    def listening(self, window: str) -> Iterator[Stream]:
        """The window's stream of answers is open while the block runs.

        It ends when all is answered, or when the window leaves: then its drawing is over, too, unless that
        was asked for while the stream was open already.
        """
        stream = Stream(self._clock())
        with self._lock:
            self._streams.setdefault(window, []).append(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams[window].remove(stream)
                if not self._streams[window]:
                    del self._streams[window]
                    self._end(window, stream)

    def _end(self, window: str, stream: Stream) -> None:
        drawing = self._drawings.get(window)
        if drawing is not None and drawing.asked <= stream.opened:
            del self._drawings[window]
        elif drawing is not None:
            drawing.since = self._clock()

    def _is_gone(self, window: str, drawing: _Drawing) -> bool:
        return window not in self._streams and self._clock() - drawing.since > GRACE_SECONDS

    def _forget_the_gone(self) -> None:
        """Drawings of windows that left, or whose event Gradio dropped without a word."""
        for window, drawing in list(self._drawings.items()):
            if self._is_gone(window, drawing):
                del self._drawings[window]
