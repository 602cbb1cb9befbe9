"""Results on stdout: a JSON document for scripts, or tables for people."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from facegen.report.words import cell, is_number

if TYPE_CHECKING:
    from rich.console import RenderableType

    from facegen.report.blocks import Block

MAX_NUMBERS = 16  # listed one by one
MAX_WIDTH = 400  # of lines in a file or pipe


class Summary(Protocol):
    """What every workflow returns."""

    def to_json(self) -> dict[str, Any]: ...


def print_json(result: Summary | dict[str, Any] | list[Any]) -> None:
    """Print a result, or its `to_json()`, as indented JSON on stdout."""
    data = result if isinstance(result, dict | list) else result.to_json()
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Collection[Sequence[Any]],
    *,
    caption: str = "",
    dimmed: Collection[int] = (),
) -> None:
    """Print a table on stdout; numbers are right-aligned, None is a dash. Nothing is printed for no rows.

    The row numbers in `dimmed` are greyed out. What is wider than the terminal comes in several tables.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        return
    numeric = [
        all(row[index] is None or is_number(row[index]) for row in rows) for index in range(len(columns))
    ]
    console = Console()

    def parts(shown: Sequence[int]) -> Iterator[Table]:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for index in (0, *shown):
            if numeric[index]:
                width = max(len(text) for text in (columns[index], *(row[index] for row in cells)))
                table.add_column(Text(columns[index]), justify="right", no_wrap=True, min_width=width)
            else:
                table.add_column(Text(columns[index]))
        for number, row in enumerate(cells):
            style = "dim" if number in dimmed else ""
            table.add_row(*(Text(row[index]) for index in (0, *shown)), style=style)
        least = console.measure(table, options=console.options.update(width=MAX_WIDTH)).minimum
        middle = (len(shown) + 1) // 2
        while middle < len(shown) and columns[shown[middle]].startswith("95 %"):  # stays beside its score
            middle += 1
        if least <= console.width or not sys.stdout.isatty() or middle == len(shown):
            yield table
        else:
            yield from (*parts(shown[:middle]), *parts(shown[middle:]))

    around = (Text(title, "bold"), *parts(range(1, len(columns))), Text(caption, "dim"))
    _print_rich(*(part for part in around if not isinstance(part, Text) or part))


def print_tree(root: str, branches: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Print a tree of two floors."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(root, "bold"))
    for name, leaves in branches:
        branch = tree.add(Text(name))
        for leaf in leaves:
            branch.add(Text(leaf, "dim" if leaf.startswith("left out") else ""))
    _print_rich(tree)


def print_evaluation(report: Any) -> None:
    """Print what a report of the run would say of this evaluation, then its pictures and where it is kept."""
    from rich.text import Text

    from facegen.report.evaluations import tell
    from facegen.report.told import Evaluation

    told = tell(Evaluation(report.saved_to, report.metric, report.to_json()))
    _print_rich(Text(told.question, "bold"))
    files: dict[str, Any] = {}
    _print_blocks(told.blocks, files)
    print_facts({**files, "Saved to": report.saved_to})


def _print_blocks(blocks: Iterable[Block], files: dict[str, Any]) -> None:
    """Print the blocks, and gather in `files` where their pictures lie.

    Shares are left out: they are bars of what a table says, too.
    """
    from rich.text import Text

    from facegen.report.blocks import Facts, Figure, Fold, Table

    for block in blocks:
        match block:
            case str():
                _print_rich(Text(block))
            case Table(columns, rows, title, caption, dimmed, too_few):
                told = [caption, f"Greyed out: {too_few}." if dimmed and too_few else ""]
                print_table(title, columns, rows, caption=" ".join(filter(None, told)), dimmed=dimmed)
            case Facts(values):
                print()
                print_facts(values)
            case Fold(title, inner):
                _print_rich(Text(f"\n{title}", "bold"))
                _print_blocks(inner, files)
            case Figure(path):
                files[block.title or block.alt] = path


def _print_rich(*renderables: RenderableType) -> None:
    """To a terminal as it is wide; into a file or pipe as wide as needed, without trailing blanks."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(*renderables, sep="\n")
        return
    text = io.StringIO()
    Console(file=text, width=MAX_WIDTH, highlight=False).print(*renderables, sep="\n")
    print("\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n")))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one a line and never wrapped, so that paths can be copied; None is left out."""
    shown = {name: cell(value) for name, value in facts.items() if value is not None}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        print(f"{name:{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))


def numbers_text(values: Sequence[float]) -> str:
    """Numbers with four significant digits, separated by commas; of many, the smallest and the largest."""
    if len(values) > MAX_NUMBERS:
        return f"{cell(min(values))} to {cell(max(values))} ({len(values)} numbers)"
    return ", ".join(cell(value) for value in values)
