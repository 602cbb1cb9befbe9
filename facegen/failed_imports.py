"""What to say of a library that cannot be imported. Imports nothing beyond Python."""

from __future__ import annotations

import traceback
from pathlib import Path

OURS = str(Path(__file__).parent)


def failed_import(error: BaseException | None) -> str | None:
    """The library that could not be imported, why, and who knows more; None for any other failure."""
    while error is not None and not _is_outside_import(error):
        error = error.__cause__
    if error is None:
        return None
    return (
        f"'{_name(error)}' cannot be imported: {type(error).__name__}: {error}\n"
        "What is wrong with this installation, and how to mend it: facegen doctor"
    )


def _is_outside_import(error: BaseException) -> bool:
    """Whether `error` came up in the import of something that is not facegen's."""
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0] != "facegen"
    executed = _executed(error)
    return bool(executed) and not executed[-1][1].startswith(OURS)


def _name(error: BaseException) -> str:
    """The module that is missing, or the package whose own import went wrong."""
    if isinstance(error, ImportError) and error.name:
        return error.name
    return _executed(error)[-1][0].partition(".")[0]


def _executed(error: BaseException) -> list[tuple[str, str]]:
    """Names and files of the modules whose own lines were under way, as an import does, outermost first."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [
        (str(frame.f_globals.get("__name__")), frame.f_code.co_filename)
        for frame in frames
        if frame.f_code.co_name == "<module>"
    ]
