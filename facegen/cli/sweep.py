"""`facegen sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import recipes
from facegen.cli.results import print_facts, print_table
from facegen.sweeping.options import SweepOptions

if TYPE_CHECKING:
    from facegen.protocols import Progress
    from facegen.sweeping.results import SweepSummary


def _print(summary: SweepSummary) -> None:
    from facegen.sweeping.page import COLUMNS, run_rows
    from facegen.sweeping.results import told_best

    print_table(f"Sweep of {summary.recipe}", COLUMNS, run_rows(summary.runs))
    print_facts({"Best": told_best(summary), "Minutes": summary.seconds / 60, "Page": summary.page})


@command(_print)
def sweep(
    recipe: Annotated[
        str, Argument(help="A preset, a YAML file, or a run whose recipe it is.", autocompletion=recipes)
    ],
    out: Annotated[Path, Argument(help="Folder for the runs and the page.")],
    options: SweepOptions,
    progress: Progress,
) -> SweepSummary:
    """Train one recipe with many settings within a given time, and say which is best and how sure that is.

    Every run gets the same time, filled with as many steps as that buys. A run that is worse than the median
    of the finished ones is stopped. Stopped anywhere, the same command goes on.

        facegen sweep avatars tries --data latents --grid optimizer.lr=1e-4,1e-3
        facegen sweep my.yaml tries --search optimizer.lr=1e-5..1e-2 --trials 9
    """
    from facegen.sweeping.sweep import sweep

    return sweep(recipe, out, options, progress)
