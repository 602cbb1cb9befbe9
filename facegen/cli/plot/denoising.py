"""`facegen plot denoising`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.options import Option
from facegen.plotting.options import Asked

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def denoising(
    run: Run,
    options: Asked,
    progress: Progress,
    frames: Annotated[int, Option("Columns: steps to show, noise and face included.", min=2)] = 8,
    count: Annotated[int, Option("Seeds, two rows each.", min=1)] = 2,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """From noise to faces: x_t and the x0 predicted from it.

    Two rows a seed, a column a step; the last is the face that 'facegen sample' gives.

        facegen plot denoising runs/celeba --prompt "a smiling woman"
        facegen plot denoising runs/utkface --class Asian --frames 10 --count 1
    """
    from facegen.plotting.denoising import plot_denoising

    asked = options.sampled(count=count)
    return plot_denoising(run, out, options=asked, frames=frames, csv=csv, progress=progress)
