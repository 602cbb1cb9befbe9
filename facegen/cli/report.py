"""`facegen report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts

if TYPE_CHECKING:
    from facegen.report.report import ReportSummary


def _print(summary: ReportSummary) -> None:
    left_alone = "left alone: the README.md there is not facegen's; move it to get one"
    print_facts(
        {
            "Page": summary.page,
            "Model card": summary.card or left_alone,
            "Evaluations": summary.evaluations,
            "Not shown": "\n".join(f"{name}: {why}" for name, why in summary.left_out.items()) or None,
            "Not known yet": "\n".join(summary.missing) or None,
        }
    )


@command(_print)
def report(
    run: Annotated[Path, typer.Argument(help="A run of 'facegen train'.", autocompletion=run_folders)],
    out: Annotated[
        Path | None, typer.Option(help="The page's file.", show_default="RUN/report.html", dir_okay=False)
    ] = None,
) -> ReportSummary:
    """Write one HTML page and a model card about a run.

    The page has what the run folder holds: a summary in plain words, curves, pictures, every evaluation with
    how sure it is, and the commands that add what is missing. It opens offline.

        facegen report runs/celeba
        facegen report runs/celeba --out celeba.html
    """
    from facegen.report.report import report

    return report(run, out)
