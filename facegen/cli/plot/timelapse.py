"""`facegen plot timelapse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument

from facegen.cli.plot.figure import Csv, figure
from facegen.options import Option
from facegen.plotting.options import Asked, Fps, Hold

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def timelapse(
    run: Annotated[Path, Argument(help="A run made by 'facegen train'.")],
    options: Asked,
    progress: Progress,
    source: Annotated[
        Literal["auto", "previews", "checkpoints"], Option("auto: previews where nothing is asked for.")
    ] = "auto",
    frames: Annotated[int | None, Option("Steps at most; left out: 8, of an animation all.", min=2)] = None,
    fps: Fps = 2.0,
    hold: Hold = 2.0,
    count: Annotated[int, Option("Faces.", min=1)] = 6,
    out: Annotated[
        Path | None,
        Option(
            "File to write: .png, .svg, .pdf; .gif, .webp or .mp4 moves.",
            shown_default="plots/SUBJECT-timelapse.png",
        ),
    ] = None,
    csv: Csv = False,
) -> PlotSummary:
    """The same faces through training, as a figure or an animation.

    From the previews the run drew, or, with a request, from its kept checkpoints.

        facegen plot timelapse runs/celeba
        facegen plot timelapse runs/celeba --count 16 --out growing.gif
        facegen plot timelapse runs/celeba --prompt "an old man" --count 3
    """
    from facegen.plotting.timelapse import plot_timelapse

    asked, moving = options.sampled(count=count), {"frames": frames, "fps": fps, "hold": hold}
    return plot_timelapse(run, out, options=asked, source=source, **moving, csv=csv, progress=progress)
