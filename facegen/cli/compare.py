"""`facegen compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import cell_text, print_facts, print_table
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.compare import Comparison, Difference


def _print(found: Comparison) -> None:
    columns = ("score", "A", "95 %", "B", "95 %", "B less A", "95 %", "")
    print_table("What each estimates", columns, [_row(one) for one in found.scores])
    left_out = "\n".join(f"{name}: {why}" for name, why in found.left_out.items()) or None
    print_facts({"A": found.a, "B": found.b, "Left out": left_out})


def _row(one: Difference) -> list[object]:
    def reach(interval: tuple[float, float] | None) -> str | None:
        return None if interval is None else f"{cell_text(interval[0])} to {cell_text(interval[1])}"

    between = None if one.low is None or one.high is None else (one.low, one.high)
    cells = [one.score, one.a, reach(one.a_interval), one.b, reach(one.b_interval)]
    return [*cells, one.difference, reach(between), one.verdict]


@command(_print)
def compare(
    a: Annotated[Path, Argument(help="A report (.json), or a run with reports.")],
    b: Annotated[Path, Argument(help="The other one.")],
    score: Annotated[
        str | None, Option("Only this score, as the report names it: fid, kid, recall, ...")
    ] = None,
) -> Comparison:
    """Say whether two evaluations differ by more than chance, or why they cannot be compared.

    Scores of another network, reference, image size, file format or sample count are refused.

        facegen compare runs/one runs/two
        facegen compare runs/one/evaluations/all-1.json runs/two --score kid
    """
    from facegen.evaluation.compare import compare

    return compare(a, b, score)
