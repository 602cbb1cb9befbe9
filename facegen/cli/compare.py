"""`facegen compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts, print_table
from facegen.options import Option
from facegen.report.words import interval

if TYPE_CHECKING:
    from facegen.evaluation.compare import Comparison, Difference


def _print(found: Comparison) -> None:
    columns = ("score", "A", "95 %", "B", "95 %", "B less A", "95 %", "shared", "")
    print_table("What each estimates", columns, [_row(one) for one in found.scores])
    left_out = "\n".join(f"{name}: {why}" for name, why in found.left_out.items()) or None
    print_facts({"A": found.a, "B": found.b, "Left out": left_out})


def _row(one: Difference) -> list[object]:
    a, b, shared = interval(one.a_interval), interval(one.b_interval), ", ".join(one.shared) or None
    return [one.score, one.a, a, one.b, b, one.difference, interval((one.low, one.high)), shared, one.verdict]


@command(_print, opens_models=False)
def compare(
    a: Annotated[
        Path,
        Argument(help="A report (.json), or a run or checkpoint with reports.", autocompletion=run_folders),
    ],
    b: Annotated[Path, Argument(help="The other one.", autocompletion=run_folders)],
    score: Annotated[
        str | None, Option("Only this score, as the report names it: fid, kid, recall, ...")
    ] = None,
) -> Comparison:
    """Say whether two evaluations differ by more than chance, or why they cannot be compared.

    Scores of another network, reference, image size, file format or sample count are refused. The reference
    they share falls out of the difference, and the luck of the drawing where requests and seeds are the same,
    as of one run at two checkpoints.

        facegen compare runs/one runs/two
        facegen compare runs/one/evaluations/all-1.json runs/two --score kid
        facegen compare runs/one/checkpoints/step-00002000 runs/one
    """
    from facegen.evaluation.compare import compare

    return compare(a, b, score)
