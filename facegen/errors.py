"""What can go wrong for a user, each with its exit code.

A `FacegenError` is a mistake the user can mend: its message says what was wrong, where, what is
allowed, and the command that mends it. The command line prints it without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class FacegenError(Exception):
    """A mistake with a remedy; `exit_code` is what the command line exits with."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n{self.hint}" if self.hint else message


class UsageError(FacegenError):
    """Wrong option, unknown key or name, output in the way (exit code 2)."""

    exit_code = 2


class DataError(FacegenError):
    """Data that is missing, malformed or does not fit (exit code 3)."""

    exit_code = 3


class MissingModelError(FacegenError):
    """A model or file that is not there, offline included (exit code 4)."""

    exit_code = 4


class StorageError(FacegenError):
    """Corrupt, truncated or full storage (exit code 5)."""

    exit_code = 5


class TrainingDivergedError(FacegenError):
    """Training produced non-finite numbers and could not go on (exit code 6)."""

    exit_code = 6


class LostProcessError(FacegenError):
    """Another process of the same command was lost, or did not come (exit code 7)."""

    exit_code = 7


class Terminated(FacegenError):
    """A signal asked the run to stop and it stopped cleanly (130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _rebuilt(kind: type[FacegenError], args: tuple[Any, ...], state: dict[str, Any]) -> FacegenError:
    """An error that came from another process."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'Eyeglasses'?"` for the nearest known word, or an empty string."""
    names = {name.casefold(): name for name in known}
    nearest = get_close_matches(word.casefold(), list(names), n=1, cutoff=0.6)
    return f" Did you mean '{names[nearest[0]]}'?" if nearest else ""
