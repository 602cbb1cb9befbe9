"""`facegen plot denoising`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, Run, described
from facegen.cli.plot.options import Csv, Out, Show, tell
from facegen.cli.plot.request_options import (
    Attributes,
    ClassName,
    Crop,
    Guidance,
    Like,
    Prompt,
    SamplerKind,
    Seed,
    Steps,
    sample_options,
)

ABOUT = (
    "From noise to faces: x_t and the x0 predicted from it.",
    "Two rows a seed, a column a step; the last is the face that 'facegen sample' gives.",
)
EXAMPLES = (
    'facegen plot denoising runs/celeba --prompt "a smiling woman"',
    "facegen plot denoising runs/utkface --class Asian --frames 10 --count 1",
)


def register(group: typer.Typer) -> None:
    group.command("denoising", **described(ABOUT, *EXAMPLES))(denoising)


def denoising(
    run: Run,
    prompt: Prompt = None,
    attributes: Attributes = None,
    class_name: ClassName = None,
    like: Like = None,
    crop: Crop = "center",
    frames: Annotated[int, typer.Option(help="Columns: steps to show, noise and face included.", min=2)] = 8,
    count: Annotated[int, typer.Option(help="Seeds, two rows each.", min=1)] = 2,
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
    from facegen.plotting.denoising import plot_denoising

    options = sample_options(
        prompt=prompt,
        attributes=attributes,
        class_name=class_name,
        like=like,
        crop=crop,
        count=count,
        seed=seed,
        guidance=guidance,
        sampler=sampler,
        steps=steps,
        device=device,
    )
    summary = plot_denoising(
        run, out, options=options, frames=frames, csv=csv, progress=make_progress(quiet=quiet)
    )
    tell(summary, as_json=as_json, show=show)
