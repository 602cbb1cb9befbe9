"""A self-contained HTML page about a run: one file, no external request, light and dark, desktop and phone.

Build a `Report` from the dataclasses below and hand it to `write_report`. Every text is escaped; markup
cannot be passed in, except `Chart.svg`, which `facegen.report.charts` makes (and escapes).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

from PIL import Image

from facegen.formats.files import atomic_write

NO_BREAK = "\u00a0"
WORD_JOINER = "\u2060"  # keeps the two ends of an interval on one line
LONG_CELL = 28  # characters beyond which a table's cell keeps a readable width on a phone
LONG_FACT = 90  # characters beyond which a fact takes a whole line
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Headline:
    """One number on top of the page, with what it means and how sure it is.

    `uncertainty` is an interval or a floor in words, `target` what was hoped for.
    """

    label: str
    value: str
    meaning: str = ""
    uncertainty: str = ""
    target: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption, embedded as PNG or JPEG. `width_pixels` is the shown width at most;
    below `min_width_pixels` it is scrolled instead of shrunk, so that the words in it stay readable."""

    image: Image.Image | Path | bytes
    caption: str = ""
    title: str = ""
    alt: str = ""
    width_pixels: int | None = None
    min_width_pixels: int | None = None


@dataclass(frozen=True)
class Chart:
    """An inline drawing made by `facegen.report.charts`."""

    svg: str
    caption: str = ""
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of texts or numbers; numbers are right-aligned, floats shown with four significant digits.

    The row numbers in `dimmed` are greyed out: what nobody should lean on.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    caption: str = ""
    dimmed: Collection[int] = ()


@dataclass(frozen=True)
class Commands:
    """Command lines to copy."""

    lines: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values as a small card: what it takes to read the numbers beside it. None is left out."""

    values: Mapping[str, object]
    title: str = ""


@dataclass(frozen=True)
class Fold:
    """Blocks behind a closed fold within a section."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Columns:
    """Blocks side by side where the page is wide enough."""

    blocks: Sequence[Block]


Block = Figure | Chart | Table | Commands | Facts | Fold | Columns | str
"""What a section is made of; a string is a paragraph."""


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block] = ()
    collapsed: bool = False  # shown as a closed fold, for what few people need


@dataclass(frozen=True)
class Report:
    """A whole page. `settings` and `environment` become folded tables at the end.

    `contents` puts links to the sections on top.
    """

    title: str
    summary: str
    headlines: Sequence[Headline] = ()
    sections: Sequence[Section] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, object] = field(default_factory=dict)
    next_steps: Sequence[Block] = ()
    footer: str = ""
    contents: bool = False


def write_report(report: Report, path: Path) -> Path:
    """Write `report` as one HTML file, atomically, and return its path.

    Raises:
        FileNotFoundError: a figure's image file does not exist.
    """
    atomic_write(path, render_report(report).encode("utf-8"))
    return path


def render_report(report: Report) -> str:
    """The page as HTML text."""
    sections = [*report.sections]
    if report.next_steps:
        sections.append(Section("What to try next", report.next_steps))
    for title, values in (("Settings", report.settings), ("Environment", report.environment)):
        if values:
            rows = [(key, value) for key, value in values.items()]
            sections.append(Section(title, [Table(("name", "value"), rows)], collapsed=True))
    style = (files("facegen.report") / "report.css").read_text(encoding="utf-8")
    body = "\n".join(_section(section, number) for number, section in enumerate(sections))
    contents = _contents(sections) if report.contents else ""
    footer = f"<footer>{escape(report.footer)}</footer>" if report.footer else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<title>{escape(report.title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{escape(report.title)}</h1>
{_paragraphs(report.summary, "lead")}
</header>
{_headlines(report.headlines)}
{contents}
{body}
</main>
{footer}
</body>
</html>
"""


def _headlines(headlines: Sequence[Headline]) -> str:
    if not headlines:
        return ""
    return f'<div class="headlines">{"".join(map(_headline, headlines))}</div>'


def _headline(headline: Headline) -> str:
    parts = [
        ("label", headline.label),
        ("value", headline.value),
        ("uncertainty", headline.uncertainty),
        ("meaning", headline.meaning),
        ("target", headline.target),
    ]
    inner = "".join(f'<p class="{name}">{escape(_unbroken(text))}</p>' for name, text in parts if text)
    return f'<div class="headline">{inner}</div>'


def _unbroken(text: str) -> str:
    return text.replace(" %", f"{NO_BREAK}%").replace("–", f"{WORD_JOINER}–{WORD_JOINER}")


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(
        f'<a href="#part-{number}">{escape(section.title)}</a>'
        for number, section in enumerate(sections)
        if not section.collapsed
    )
    return f'<nav aria-label="On this page">{links}</nav>'


def _section(section: Section, number: int) -> str:
    title = escape(section.title)
    if section.collapsed:
        return f"<details><summary>{title}</summary>\n{_blocks(section.blocks)}\n</details>"
    return f'<section id="part-{number}">\n<h2>{title}</h2>\n{_blocks(section.blocks)}\n</section>'


def _blocks(blocks: Sequence[Block]) -> str:
    return "\n".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    match block:
        case str():
            return _paragraphs(block)
        case Figure():
            return _figure(block)
        case Chart():
            return f"<figure>{_title(block.title)}{block.svg}{_caption(block.caption)}</figure>"
        case Table():
            return _table(block)
        case Commands():
            lines = escape("\n".join(block.lines))
            return f'{_title(block.title)}<pre tabindex="0"><code>{lines}</code></pre>'
        case Facts():
            return _facts(block)
        case Fold():
            title = escape(block.title)
            return f'<details class="fold"><summary>{title}</summary>\n{_blocks(block.blocks)}\n</details>'
        case Columns():
            return f'<div class="columns">{_blocks(block.blocks)}</div>'


def _facts(facts: Facts) -> str:
    inner = "".join(
        f"<div{_wide(_text(value))}><dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd></div>"
        for name, value in facts.values.items()
        if value is not None
    )
    return f'<div class="facts">{_title(facts.title)}<dl>{inner}</dl></div>'


def _wide(text: str) -> str:
    return ' class="wide"' if len(text) > LONG_FACT else ""


def _paragraphs(text: str, css_class: str = "") -> str:
    attribute = f' class="{css_class}"' if css_class else ""
    parts = [part.strip() for part in text.split("\n\n") if part.strip()]
    return "\n".join(f"<p{attribute}>{escape(part)}</p>" for part in parts)


def _title(text: str) -> str:
    return f"<h3>{escape(text)}</h3>" if text else ""


def _caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>" if text else ""


def _figure(figure: Figure) -> str:
    data = _image_bytes(figure.image)
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        media_type = Image.MIME[image.format or "PNG"]
    shown = figure.width_pixels or width
    alt = escape(figure.alt or figure.title or figure.caption)
    source = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    least = f"; min-width: {figure.min_width_pixels}px" if figure.min_width_pixels else ""
    picture = (
        f'<div class="scroll"><img src="{source}" alt="{alt}" width="{width}" height="{height}" '
        f'style="width: min(100%, {shown}px){least}"></div>'
    )
    return f"<figure>{_title(figure.title)}{picture}{_caption(figure.caption)}</figure>"


def _image_bytes(image: Image.Image | Path | bytes) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, Path):
        return image.read_bytes()
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _table(table: Table) -> str:
    numeric = [
        bool(table.rows) and all(_is_number(row[i]) for row in table.rows) for i in range(len(table.columns))
    ]
    head = "".join(_cell("th", column, right) for column, right in zip(table.columns, numeric, strict=True))
    body = "\n".join(
        ('<tr class="dim">' if index in table.dimmed else "<tr>")
        + "".join(_cell("td", value, right) for value, right in zip(row, numeric, strict=True))
        + "</tr>"
        for index, row in enumerate(table.rows)
    )
    return (
        f'<figure>{_title(table.title)}<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{_caption(table.caption)}</figure>"
    )


def _cell(tag: str, value: object, right: bool) -> str:
    text = _text(value)
    text = _unbroken(text) if len(text) > LONG_CELL else text
    kind = "number" if right else "words" if len(text) > LONG_CELL else ""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and (value[0].isdigit() or value[0] in "-+–")
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)
