"""`facegen ema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import run_folders
from facegen.cli.results import print_facts
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.training.ema_afterwards import EmaSummary


def _print(summary: EmaSummary) -> None:
    print_facts(
        {
            "Checkpoint": summary.checkpoint,
            "Width": summary.width,
            "Step": summary.step,
            "Made of": f"{summary.snapshots} snapshots",
            "Profile missed by": f"{100 * summary.profile_error:.2g} %",
            "Sample it": f"facegen sample {summary.checkpoint}",
        }
    )


@command(_print)
def ema(
    run: Annotated[
        Path, Argument(help="A run trained with 'ema.widths' in its recipe.", autocompletion=run_folders)
    ],
    width: Annotated[
        float, Option("Share of training that is averaged over, e.g. 0.1; its relative standard deviation.")
    ],
    step: Annotated[int | None, Option("After which step; left out: the last snapshot's.", min=1)] = None,
    out: Annotated[
        Path | None, Option("Folder of the checkpoint.", shown_default="RUN/ema/width-WIDTH")
    ] = None,
) -> EmaSummary:
    """Average a run's weights over any width, after training.

    Makes a checkpoint that sample, eval and plot take as they take a run, from the snapshots that a recipe's
    'ema.widths' has training keep. 'facegen plot ema' shows which width validates best.

        facegen ema runs/celeba --width 0.12
        facegen ema runs/celeba --width 0.05 --step 20000 --out sharp
    """
    from facegen.training.ema_afterwards import average_afterwards

    return average_afterwards(run, width, step=step, out=out)
