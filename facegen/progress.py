"""The quiet `Progress`: what library functions use when nobody watches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from facegen.protocols import ProgressTask


class SilentTask:
    """A progress bar nobody sees."""

    def advance(self, count: int = 1, **fields: str) -> None:
        pass


class SilentProgress:
    """Implements `protocols.Progress`; shows nothing, keeps what was said in `said` and `warned`."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[ProgressTask]:
        return nullcontext(SilentTask())

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)
