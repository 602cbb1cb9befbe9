"""`facegen plot animation`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.options import Run
from facegen.cli.plot.figure import Csv, figure
from facegen.options import Option
from facegen.plotting.options import Asked, Motion

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def animation(
    run: Run,
    options: Asked,
    motion: Motion,
    progress: Progress,
    count: Annotated[int, Option("Faces; several stand in a grid.", min=1)] = 1,
    out: Annotated[
        Path | None,
        Option(
            "File to write: .gif, .webp, .png (APNG) or .mp4.", shown_default="plots/SUBJECT-animation.gif"
        ),
    ] = None,
    csv: Csv = False,
) -> PlotSummary:
    """An animation of faces appearing out of noise, or of one class turning into another.

    The last frame is the face 'facegen sample' gives: pixel for pixel in .webp and .png, with 256 colours in
    .gif, about so in .mp4 (which needs the extra 'video').

        facegen plot animation runs/celeba --prompt "a smiling woman" --out face.gif
        facegen plot animation runs/utkface --class Asian --count 9 --fps 12
        facegen plot animation runs/utkface --walk all --frames 60 --out walk.mp4
    """
    from facegen.plotting.animation import plot_animation

    asked = options.sampled(count=count)
    return plot_animation(run, out, options=asked, motion=motion, csv=csv, progress=progress)
