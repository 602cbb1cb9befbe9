"""`facegen plot architecture`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary


@figure
def architecture(
    subject: Annotated[str, Argument(help="A run, a checkpoint, or a preset's name.")],
    depth: Annotated[int, Option("1: stages; 2: their blocks; 3: the parts of the blocks.")] = 2,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """The network on one page: shapes, parameters, where conditions enter.

    Takes a run, a checkpoint, or the name of a preset. Drawn from the module itself; a PNG has 600 DPI.

        facegen plot architecture runs/celeba
        facegen plot architecture attribute-ldm --out network.pdf --csv
        facegen plot architecture text-ldm --depth 1
    """
    from facegen.plotting.architecture.architecture import plot_architecture

    return plot_architecture(subject, out, depth=depth, csv=csv)
