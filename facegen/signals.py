"""Stopping when asked to by a signal: at the end of a step, or where the program is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from facegen.errors import Terminated

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last: preemption; Windows has none
SIGNALS = tuple(signal.Signals[name] for name in NAMES if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], None]


class StopSignals:
    """Context in which SIGTERM, SIGUSR1 and SIGINT only set `requested`.

    A second SIGINT stops at once: it raises `Terminated` wherever the program is.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._handled = handled_by(self._handle)

    def __enter__(self) -> StopSignals:
        self._handled.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._handled.__exit__(*raised)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested == signal.SIGINT:
            raise Terminated("Stopped at once; the last checkpoint stands.", exit_code=EXIT_INTERRUPTED)
        self.requested = signal.Signals(number)


@contextmanager
def handled_by(handler: Handler) -> Generator[None]:
    """`handler` gets the `SIGNALS`; outside the main thread they cannot be caught and stay as they were."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """A handler that stops wherever the program is.

    Raises:
        Terminated: always.
    """
    name = signal.Signals(number)
    raise Terminated(f"{name.name}: stopped.", exit_code=exit_code_of(name))


def exit_code_of(number: signal.Signals) -> int:
    """130 for SIGINT, 143 for SIGTERM and SIGUSR1."""
    return EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED
