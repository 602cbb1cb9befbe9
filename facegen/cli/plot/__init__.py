"""`facegen plot`: what it says, and its subcommands in order."""

from __future__ import annotations

from facegen.cli.command import Group
from facegen.cli.plot import faces, records

GROUP = Group(
    "plot",
    """Draw what a run or a data set has to show.

    Figures are saved as PNG, SVG or PDF by their suffix; --csv writes the numbers behind them.
    """,
    (
        records.schedule,
        records.architecture,
        records.curves,
        records.ema,
        records.attributes,
        faces.samples,
        faces.denoising,
        faces.animation,
        records.reconstructions,
        faces.blend,
        faces.interpolation,
        faces.timelapse,
        records.latents,
        faces.attention,
    ),
)
