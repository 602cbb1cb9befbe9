"""Stopping at the end of a step when asked to by a signal."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from facegen.errors import Terminated

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Context in which SIGTERM, SIGUSR1 (preemption) and SIGINT only set `requested`.

    A second SIGINT stops at once: it raises `Terminated` wherever the program is. Outside the main thread
    signals cannot be caught and stay as they were.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested == signal.SIGINT:
            raise Terminated("Stopped at once; the last checkpoint stands.", exit_code=EXIT_INTERRUPTED)
        self.requested = signal.Signals(number)


def exit_code_of(number: signal.Signals) -> int:
    """130 for SIGINT, 143 for SIGTERM and SIGUSR1."""
    return EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED
