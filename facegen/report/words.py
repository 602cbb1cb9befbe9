"""Numbers, shares and times in words, the same in every table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def cell(value: object) -> str:
    """What a table shows: floats with four significant digits, thousands separated, a dash for None."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
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


def percent_between(low: float | None, high: float | None) -> str | None:
    """An interval of shares as "92.0–94.1 %"; None where an end is not known."""
    return None if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %"


def percent_interval(row: Mapping[str, Any] | None) -> str | None:
    """The "low" and "high" of a share as "92.0–94.1 %"."""
    return None if row is None else percent_between(row.get("low"), row.get("high"))


def between(low: float | None, high: float | None) -> str | None:
    """An interval as "1.2 to 1.4"; None where an end is not known."""
    return None if low is None or high is None else f"{cell(low)} to {cell(high)}"


def interval(row: Mapping[str, Any] | None) -> str | None:
    """The "low" and "high" of a score as "1.2 to 1.4"."""
    return None if row is None else between(row.get("low"), row.get("high"))


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
