"""`facegen plot attention`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, Out, figure
from facegen.plotting.options import Asked, AttentionOptions

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def attention(
    run: Run,
    attention: AttentionOptions,
    options: Asked,
    progress: Progress,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """Where a model looks while it draws a face, laid over that face.

    Words or labels where it attends to them, otherwise places: what a cell of the picture looks at.

        facegen plot attention runs/text --prompt "a smiling woman"
        facegen plot attention runs/text --prompt "a smiling woman" --word smiling
        facegen plot attention runs/celeba --at 0.38,0.5 --at 0.5,0.75 --layers 4
    """
    from facegen.plotting.attention import plot_attention

    asked = options.sampled()
    return plot_attention(run, out, options=asked, attention=attention, csv=csv, progress=progress)
