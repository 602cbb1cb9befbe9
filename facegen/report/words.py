"""Numbers, shares and times in words, the same in every table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from facegen.wording import number_text

Interval = Mapping[str, Any] | Sequence[float | None] | None
"""Both ends of an interval, or a row with the keys "low" and "high"."""


def cell(value: object) -> str:
    """What a table shows: floats as `number_text` has them, thousands separated, a dash for None."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return number_text(value)
        case Mapping():
            return ", ".join(f"{key}: {cell(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(cell, value))
    return str(value)


def is_number(value: object) -> bool:
    """Whether `value` is a number, or words that begin with one."""
    if isinstance(value, str):
        return bool(value) and (value[0].isdigit() or value[0] in "-+–")
    return isinstance(value, int | float) and not isinstance(value, bool)


def percent(share: float | None) -> str | None:
    """A share as "93.1 %"; None stays None."""
    return None if share is None else f"{100 * share:.1f} %"


def percent_interval(row: Interval) -> str | None:
    """An interval of shares as "92.0–94.1 %"; None where an end is not known."""
    low, high = _ends(row)
    return None if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %"


def interval(row: Interval) -> str | None:
    """An interval of scores as "1.2 to 1.4"; None where an end is not known."""
    low, high = _ends(row)
    return None if low is None or high is None else f"{cell(low)} to {cell(high)}"


def _ends(row: Interval) -> tuple[float | None, float | None]:
    if isinstance(row, Mapping):
        return row.get("low"), row.get("high")
    low, high = row or (None, None)
    return low, high


def sure(interval: str | None) -> str:
    """How sure a number is."""
    return f"95 % interval {interval}" if interval else "no interval at this number of faces"


def duration(seconds: float) -> str:
    """ "40 seconds", "12 minutes", "3 h 20 min" or "2 days 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def quoted(path: object) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
