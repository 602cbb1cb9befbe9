"""Results on stdout: a JSON document for scripts, or tables for people."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_NUMBERS = 16  # listed one by one
Column = tuple[str, Callable[[Any], Any]]  # its title, and what it says of a row


class Summary(Protocol):
    """What every workflow returns."""

    def to_json(self) -> dict[str, Any]: ...


def print_json(result: Summary | dict[str, Any] | list[Any]) -> None:
    """Print a result, or its `to_json()`, as indented JSON on stdout."""
    data = result if isinstance(result, dict | list) else result.to_json()
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, style: str = ""
) -> None:
    """Print a table on stdout; numbers are right-aligned, None is a dash. Nothing is printed for no rows.

    `style` is one of rich, such as "dim", for all rows.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(row[index] is None or is_number(row[index]) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        table.add_row(*(Text(cell_text(value)) for value in row), style=style)
    _print_rich(Text(title, style="bold"), table)


def print_rows(
    title: str, what: str, columns: Sequence[Column], rows: Iterable[tuple[str, Any]], *, style: str = ""
) -> None:
    """`print_table` of rows by name, under `what`, and of what each column says of them."""
    cells = [(name, *(cell(row) for _, cell in columns)) for name, row in rows]
    print_table(title, (what, *(column for column, _ in columns)), cells, style=style)


def _print_rich(*renderables: RenderableType) -> None:
    """To a terminal as it is wide; into a file or pipe as wide as needed, without trailing blanks."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(*renderables, sep="\n")
        return
    text = io.StringIO()
    Console(file=text, width=400, highlight=False).print(*renderables, sep="\n")
    print("\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n")))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one a line and never wrapped, so that paths can be copied; None is left out."""
    shown = {name: cell_text(value) for name, value in facts.items() if value is not None}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        print(f"{name:{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))


def numbers_text(values: Sequence[float]) -> str:
    """Numbers with four significant digits, separated by commas; of many, the smallest and the largest."""
    if len(values) > MAX_NUMBERS:
        return f"{cell_text(min(values))} to {cell_text(max(values))} ({len(values)} numbers)"
    return ", ".join(cell_text(value) for value in values)


def percent(share: float | None) -> str | None:
    """A share as "93.1 %"; None stays None."""
    return None if share is None else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str | None:
    """A confidence interval of shares as "92.0–94.1 %"."""
    return None if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %"


def is_number(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value) and (value[0].isdigit() or (value[0] in "+-–" and value[1:2].isdigit()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(cell_text(item) for item in value)
    return str(value)
