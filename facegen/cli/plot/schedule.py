"""`facegen plot schedule`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary


@figure
def schedule(
    subject: Annotated[str, Argument(help="A run, a checkpoint, or a preset's name.")],
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Noise over time: alphas, SNR, and where training looks.

    Takes a run, a checkpoint, or the name of a preset.

        facegen plot schedule runs/celeba
        facegen plot schedule celeba-attributes --out schedule.svg --csv
    """
    from facegen.plotting.schedule import plot_schedule

    return plot_schedule(subject, out, csv=csv)
