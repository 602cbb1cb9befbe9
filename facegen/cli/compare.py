"""`facegen compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import Json, described

if TYPE_CHECKING:
    from facegen.evaluation.compare import Comparison, Difference


def register(app: typer.Typer) -> None:
    app.command(
        "compare",
        **described(
            (
                "Say whether two evaluations differ by more than chance, or why they cannot be compared.",
                "Scores of another network, reference, image size, file format or sample count are refused.",
            ),
            "facegen compare runs/one runs/two",
            "facegen compare runs/one/evaluations/all-1.json runs/two --score kid",
        ),
    )(compare)


def compare(
    a: Annotated[Path, typer.Argument(help="A report (.json), or a run with reports.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="The other one.", show_default=False)],
    score: Annotated[
        str | None, typer.Option(help="Only this score, as the report names it: fid, kid, recall, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    from facegen.cli.results import print_json
    from facegen.evaluation.compare import compare as run_compare

    found = run_compare(a, b, score)
    print_json(found) if as_json else _print(found)


def _print(found: Comparison) -> None:
    from facegen.cli.results import print_facts, print_table

    columns = ("score", "A", "95 %", "B", "95 %", "B less A", "95 %", "")
    print_table("What each estimates", columns, [_row(one) for one in found.scores])
    facts: dict[str, str] = {"A": found.a, "B": found.b}
    if found.left_out:
        facts["Left out"] = "\n".join(f"{name}: {why}" for name, why in found.left_out.items())
    print_facts(facts)


def _row(one: Difference) -> list[object]:
    from facegen.cli.results import cell_text

    def reach(interval: tuple[float, float] | None) -> str | None:
        return None if interval is None else f"{cell_text(interval[0])} to {cell_text(interval[1])}"

    between = None if one.low is None or one.high is None else (one.low, one.high)
    cells = [one.score, one.a, reach(one.a_interval), one.b, reach(one.b_interval)]
    return [*cells, one.difference, reach(between), one.verdict]
