"""`facegen plot`: what it says, and its subcommands in order."""

from __future__ import annotations

from facegen.cli.command import Group
from facegen.cli.plot import (
    animation,
    architecture,
    attention,
    attributes,
    blend,
    curves,
    denoising,
    interpolation,
    latents,
    reconstructions,
    samples,
    schedule,
    timelapse,
)

GROUP = Group(
    "plot",
    """Draw what a run or a data set has to show.

    Figures are saved as PNG, SVG or PDF by their suffix; --csv writes the numbers behind them.
    """,
    (
        schedule.schedule,
        architecture.architecture,
        curves.curves,
        attributes.attributes,
        samples.samples,
        denoising.denoising,
        animation.animation,
        reconstructions.reconstructions,
        blend.blend,
        interpolation.interpolation,
        timelapse.timelapse,
        latents.latents,
        attention.attention,
    ),
)
