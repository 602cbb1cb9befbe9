"""`facegen report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import Json, Run, described

if TYPE_CHECKING:
    from facegen.report.report import ReportSummary


def register(app: typer.Typer) -> None:
    app.command(
        "report",
        **described(
            (
                "Write one HTML page and a model card about a run.",
                "The page has what the run folder holds: a summary in plain words, curves, pictures, every "
                "evaluation with how sure it is, and the commands that add what is missing. It opens "
                "offline.",
            ),
            "facegen report runs/celeba",
            "facegen report runs/celeba --out celeba.html",
        ),
    )(report)


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The page's file.", show_default="RUN/report.html", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    from facegen.cli.results import print_json
    from facegen.report.report import report as run_report

    summary = run_report(run, out)
    print_json(summary) if as_json else _print(summary)


def _print(summary: ReportSummary) -> None:
    from facegen.cli.results import print_facts

    print_facts(
        {
            "Page": summary.page,
            "Model card": summary.card
            or "left alone: the README.md there is not facegen's; move it to get one",
            "Evaluations": summary.evaluations,
            "Not shown": "\n".join(f"{name}: {why}" for name, why in summary.left_out.items()) or None,
            "Not known yet": "\n".join(summary.missing) or None,
        }
    )
