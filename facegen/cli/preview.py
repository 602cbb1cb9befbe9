"""A picture in the terminal: by kitty's or iTerm2's protocol, or in half-blocks; silent elsewhere."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facegen.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

Way = Literal["kitty", "iterm2", "half-blocks"]
KITTY_CHUNK = 4096  # characters of base64 in one escape sequence
MAX_ROWS = 40
UPPER_HALF = "▀"


def show_picture(path: Path, show: bool | None = None) -> None:
    """Show the picture file on stdout if the terminal can; with `show` in half-blocks at least, False never.

    Raises:
        UsageError: `show` is True and the file is not a picture of pixels.
    """
    way = way_of(os.environ, is_terminal=sys.stdout.isatty())
    if show is False or (way is None and not show):
        return
    if path.suffix.lower() in (".svg", ".pdf", ".mp4"):
        if show:
            raise UsageError(f"A terminal cannot show '{path}'.", hint="Save it as .png to see it here.")
        return
    sys.stdout.write(escape_codes(path, way or "half-blocks", shutil.get_terminal_size()))
    sys.stdout.flush()


def way_of(environment: Mapping[str, str], *, is_terminal: bool) -> Way | None:
    """How a terminal of these environment variables shows pictures, or None if it does not."""
    if not is_terminal or environment.get("TERM", "dumb") == "dumb" or environment.get("NO_COLOR"):
        return None
    if environment.get("TERM") == "xterm-kitty" or "KITTY_WINDOW_ID" in environment:
        return "kitty"
    if environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm", "ghostty"):
        return "iterm2" if environment["TERM_PROGRAM"] != "ghostty" else "kitty"
    if environment.get("COLORTERM") in ("truecolor", "24bit"):
        return "half-blocks"
    return None


def escape_codes(path: Path, way: Way, size: os.terminal_size) -> str:
    """What to write so that the picture appears, at most as wide as the terminal and 40 rows high."""
    from PIL import Image

    with Image.open(path) as image:
        columns = min(size.columns, max(20, image.width // 10))
        if way == "half-blocks" or (way == "kitty" and image.format != "PNG"):
            return half_blocks(image.convert("RGB"), size.columns, min(size.lines - 2, MAX_ROWS))
    data = base64.standard_b64encode(path.read_bytes()).decode()
    if way == "iterm2":
        return f"\033]1337;File=inline=1;width={columns};preserveAspectRatio=1:{data}\a\n"
    chunks = [data[start : start + KITTY_CHUNK] for start in range(0, len(data), KITTY_CHUNK)]
    parts = []
    for index, chunk in enumerate(chunks):
        first = f"a=T,f=100,c={columns}," if index == 0 else ""
        parts.append(f"\033_G{first}m={int(index < len(chunks) - 1)};{chunk}\033\\")
    return "".join(parts) + "\n"


def half_blocks(image: Image.Image, columns: int, rows: int) -> str:
    """The picture as 24-bit coloured half-blocks, two pixels a character, never enlarged."""
    import numpy as np
    from PIL import Image as Pictures

    scale = min(columns / image.width, 2 * rows / image.height, 1.0)
    width, height = max(1, round(image.width * scale)), max(2, 2 * round(image.height * scale / 2))
    pixels = np.asarray(image.resize((width, height), Pictures.Resampling.LANCZOS)).tolist()
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        lines.append("".join(map(_half_block, upper, lower)) + "\033[0m")
    return "\n".join(lines) + "\n"


def _half_block(upper: list[int], lower: list[int]) -> str:
    top, bottom = ";".join(map(str, upper)), ";".join(map(str, lower))
    return f"\033[38;2;{top}m\033[48;2;{bottom}m{UPPER_HALF}"
