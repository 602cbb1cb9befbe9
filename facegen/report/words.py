"""Numbers, shares and times in words, and pictures made small enough to embed."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from facegen.report.html import Block, Figure

MAX_PICTURE_BYTES = 600_000  # a larger one is embedded as JPEG
MAX_PICTURE_SIDE = 1600
JPEG_QUALITY = 88


def percent(share: float | None) -> str | None:
    """A share as "93.1 %"; None stays None."""
    return None if share is None else f"{100 * share:.1f} %"


def percent_interval(row: Mapping[str, Any] | None) -> str | None:
    """The "low" and "high" of a share as "92.0–94.1 %"."""
    if row is None or row.get("low") is None or row.get("high") is None:
        return None
    return f"{100 * row['low']:.1f}–{100 * row['high']:.1f} %"


def number(value: float | int | None) -> str | None:
    """Four significant digits, thousands separated."""
    if value is None:
        return None
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def interval(row: Mapping[str, Any] | None) -> str | None:
    """The "low" and "high" of a score as "1.2 to 1.4"."""
    if row is None or row.get("low") is None or row.get("high") is None:
        return None
    return f"{number(row['low'])} to {number(row['high'])}"


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


def picture(
    path: Path | None,
    caption: str,
    *,
    alt: str,
    title: str = "",
    min_width: int = 0,
    width: int | None = None,
) -> list[Block]:
    """The picture at `path` as a figure, small enough to embed; nothing if there is none, and a sentence
    instead of a picture that is lost or damaged. `width` enlarges a small one, in pixels of the page."""
    if path is None:
        return []
    try:
        data, own_width = _embeddable(path)
    except OSError as error:
        return [f"The picture '{path.name}' cannot be shown: {error.strerror or error}."]
    least = min(min_width, own_width) or None
    return [Figure(data, caption, title, alt, None if width is None else max(width, own_width), least)]


def _embeddable(path: Path) -> tuple[bytes, int]:
    """The file's bytes, or a JPEG where that is smaller than a large file, and its width."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        width = image.width
        if len(data) > MAX_PICTURE_BYTES:
            image.thumbnail((MAX_PICTURE_SIDE, 4 * MAX_PICTURE_SIDE))
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, format="JPEG", quality=JPEG_QUALITY)
            data = min(data, buffer.getvalue(), key=len)
    return data, width
