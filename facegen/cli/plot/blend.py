"""`facegen plot blend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option
from facegen.plotting.options import Drawn
from facegen.sampling.options import REQUEST

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def blend(
    run: Run,
    blend: Annotated[str, Option("NAME:WEIGHT,NAME:WEIGHT of classes or wishes.", panel=REQUEST)],
    options: Drawn,
    progress: Progress,
    count: Annotated[int, Option("Seeds, a row each.", min=1)] = 4,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Strips from each part of a blend to the mix, from the same noise.

    What the model makes of the parts is interpolated, not the pictures.

        facegen plot blend runs/utkface --blend "Asian:0.5,White:0.5"
        facegen plot blend runs/utkface --blend "Asian:1,Black:1,White:1" --count 2
    """
    from facegen.plotting.blend import plot_blend

    asked = options.sampled(count=count)
    return plot_blend(run, blend, out, options=asked, csv=csv, progress=progress)
