"""`facegen runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.results import print_table

if TYPE_CHECKING:
    from facegen.housekeeping.runs import FoundRun, Listing

MOST_SCORES = 3  # in a row
COLUMNS = ("run", "state", "task", "preset", "steps", "loss", "best", "scores", "size", "changed (UTC)")


def _print(found: Listing) -> None:
    if not found.runs:
        print(
            f"There is no run in '{found.folder}', nor within five folders.\n"
            "Name the folder that holds yours, or start one: "
            "facegen train --preset NAME --data FOLDER --run runs/mine"
        )
        return
    print_table(f"Runs in '{found.folder}'", COLUMNS, [_row(one, found.folder) for one in found.runs])
    for one in found.runs:
        if one.about:
            print(f"{_short(one.run, found.folder)}: {one.state}, {one.about}")


def _row(one: FoundRun, folder: str) -> list[object]:
    from facegen.formats.disk import size_text
    from facegen.report.words import cell

    steps = f"{one.step:,}" if one.num_steps is None else f"{one.step:,} of {one.num_steps:,}"
    best = one.best_checkpoint
    if best is not None and one.best_value is not None:
        best = f"{best}, {one.best_by} {cell(one.best_value)}"
    scores = [f"{name} {cell(value)}" for name, value in list(one.scores.items())[:MOST_SCORES]]
    more = len(one.scores) - MOST_SCORES
    told = ", ".join([*scores, *([f"{more} more"] if more > 0 else [])]) or None
    names = (_short(one.run, folder), one.state, one.task, one.preset)
    when = one.changed[:16].replace("T", " ")
    return [*names, steps, one.validation_loss, best, told, size_text(one.size_bytes), when]


def _short(run: str, folder: str) -> str:
    """The run as seen from `folder`."""
    return run if run == folder else str(Path(run).relative_to(folder))


@command(_print, opens_models=False)
def runs(
    folder: Annotated[Path, Argument(help="Looked into, five folders deep.")] = Path(),
) -> Listing:
    """List the runs in a folder: state, steps, validation loss, best checkpoint, scores, size.

    A run is running (and by whom), finished, stopped (at which step), stopped early by its scores, diverged,
    damaged (and how), or not begun. Only heads are read: 'facegen verify RUN' looks at everything.

        facegen runs
        facegen runs runs
        facegen runs runs --json
    """
    from facegen.housekeeping.runs import list_runs

    return list_runs(folder)
