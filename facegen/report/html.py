"""A page as one self-contained HTML file: no request to anywhere, light and dark, desktop and phone.

Every text is escaped by the template; no markup can be passed in.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from facegen.formats.files import atomic_write
from facegen.report.blocks import Figure, Page
from facegen.report.charts import NUM_COLOURS, line_chart
from facegen.report.words import cell

NO_BREAK = "\u00a0"
WORD_JOINER = "\u2060"  # keeps the two ends of an interval on one line
MAX_PICTURE_BYTES = 600_000  # a larger one is embedded as JPEG
MAX_PICTURE_SIDE = 1600
JPEG_QUALITY = 88


def templates(**options: Any) -> Environment:
    """The templates of this package, which escape all they are given."""
    environment = Environment(
        loader=PackageLoader("facegen.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= {"kind": lambda block: type(block).__name__, "cell": cell}
    return environment


def write_page(page: Page, path: Path) -> Path:
    """Write the page, atomically, and return its path."""
    atomic_write(path, render_page(page))
    return path


def render_page(page: Page) -> str:
    """The page as HTML text."""
    environment = templates()
    environment.filters |= {
        "unbroken": _unbroken,
        "embedded": _embedded,
        "svg": lambda chart: Markup(line_chart(chart)),
    }
    environment.globals["num_colours"] = NUM_COLOURS
    return environment.get_template("report.html").render(page=page)


def _unbroken(text: str) -> str:
    return text.replace(" %", f"{NO_BREAK}%").replace("–", f"{WORD_JOINER}–{WORD_JOINER}")


def _embedded(figure: Figure) -> dict[str, Any]:
    """The picture as an address that holds it, its size, and the widths to show it in; or why it is "lost".

    A large file becomes a JPEG where that is smaller.
    """
    try:
        data = figure.path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            (width, height), own_width = image.size, image.width
            media_type = Image.MIME[image.format or "PNG"]
            if len(data) > MAX_PICTURE_BYTES:
                small = image.convert("RGB")
                small.thumbnail((MAX_PICTURE_SIDE, 4 * MAX_PICTURE_SIDE))
                buffer = io.BytesIO()
                small.save(buffer, format="JPEG", quality=JPEG_QUALITY)
                if len(buffer.getvalue()) < len(data):
                    data, (width, height), media_type = buffer.getvalue(), small.size, "image/jpeg"
    except OSError as error:
        return {"lost": error.strerror or str(error)}
    return {
        "source": f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}",
        "width": width,
        "height": height,
        "shown_width": max(figure.width_pixels, own_width) if figure.width_pixels else width,
        "least_width": min(figure.min_width_pixels, own_width),
    }
