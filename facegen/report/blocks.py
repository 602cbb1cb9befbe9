"""What reports are made of, as plain data: a page has sections, a section has blocks.

Nothing here knows how it will look. `facegen.report.html` makes the page of it and
`facegen.report.model_card` the Markdown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facegen.report.words import is_number


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
    """The picture at `path`; where it is lost or damaged, a sentence says so.

    `width_pixels` of the page enlarges a small one. Below `min_width_pixels` it is scrolled instead of
    shrunk, so that the words in it stay readable.
    """

    path: Path
    caption: str = ""
    alt: str = ""
    title: str = ""
    width_pixels: int = 0
    min_width_pixels: int = 0


@dataclass(frozen=True)
class Series:
    """One line. `dashed` is for a predictor or a floor to compare with."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over `x_label`."""

    lines: Sequence[Series]
    title: str
    caption: str = ""
    x_label: str = "step"
    y_label: str = ""


@dataclass(frozen=True)
class Shares:
    """Names with a share in [0, 1], as bars, and a share to compare with (None where there is none)."""

    rows: Sequence[tuple[str, float, float | None]]
    title: str
    caption: str = ""
    compared_with: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of texts or numbers.

    The row numbers in `dimmed` are greyed out, for the reason `too_few`: what nobody should lean on.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    caption: str = ""
    dimmed: Collection[int] = ()
    too_few: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds nothing but numbers, for each column."""
        return [
            bool(self.rows) and all(row[index] is None or is_number(row[index]) for row in self.rows)
            for index in range(len(self.columns))
        ]

    def filled(self) -> Table:
        """The table without the columns that say nothing of any row."""
        kept = [i for i in range(len(self.columns)) if any(row[i] is not None for row in self.rows)]
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)


@dataclass(frozen=True)
class Commands:
    """Command lines to copy."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and values as a small card; None is left out."""

    values: Mapping[str, object]
    title: str = "What it takes to read this"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a closed fold within a section."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Columns:
    """Blocks side by side where the page is wide enough."""

    blocks: Sequence[Block]


Block = Figure | Chart | Shares | Table | Commands | Facts | Fold | Columns | str
"""What a section is made of; a string is a paragraph."""


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
    collapsed: bool = False  # shown as a closed fold, for what few people need


@dataclass(frozen=True)
class Page:
    """A whole page; `summary` are its first paragraphs."""

    title: str
    summary: Sequence[str]
    headlines: Sequence[Headline] = ()
    sections: Sequence[Section] = ()
    footer: str = ""


def settings_section(title: str, values: Mapping[str, object]) -> list[Section]:
    """Names and values as a folded table at the end of a page; nothing where there are none."""
    return (
        [Section(title, [Table(("name", "value"), list(values.items()))], collapsed=True)] if values else []
    )
