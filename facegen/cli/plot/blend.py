"""`facegen plot blend`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, Run, described
from facegen.cli.plot.options import Csv, Out, Show, tell
from facegen.cli.plot.request_options import REQUEST, Guidance, SamplerKind, Seed, Steps, sample_options

ABOUT = (
    "Strips from each part of a blend to the mix, from the same noise.",
    "What the model makes of the parts is interpolated, not the pictures.",
)
EXAMPLES = (
    'facegen plot blend runs/utkface --blend "Asian:0.5,White:0.5"',
    'facegen plot blend runs/utkface --blend "Asian:1,Black:1,White:1" --count 2',
)


def register(group: typer.Typer) -> None:
    group.command("blend", **described(ABOUT, *EXAMPLES))(blend_strips)


def blend_strips(
    run: Run,
    blend: Annotated[
        str,
        typer.Option(
            help="NAME:WEIGHT,NAME:WEIGHT of classes or wishes.", show_default=False, rich_help_panel=REQUEST
        ),
    ],
    count: Annotated[int, typer.Option(help="Seeds, a row each.", min=1)] = 4,
    seed: Seed = 0,
    guidance: Guidance = None,
    sampler: SamplerKind = None,
    steps: Steps = None,
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.plotting.blend import plot_blend

    options = sample_options(
        count=count, seed=seed, guidance=guidance, sampler=sampler, steps=steps, device=device
    )
    summary = plot_blend(run, blend, out, options=options, csv=csv, progress=make_progress(quiet=quiet))
    tell(summary, as_json=as_json, show=show)
