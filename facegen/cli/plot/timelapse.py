"""`facegen plot timelapse`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, described
from facegen.cli.plot.animation import Fps, Hold
from facegen.cli.plot.options import Csv, Show, tell
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
    "The same faces through training, as a figure or an animation.",
    "From the previews the run drew, or, with a request, from its kept checkpoints.",
)
EXAMPLES = (
    "facegen plot timelapse runs/celeba",
    "facegen plot timelapse runs/celeba --count 16 --out growing.gif",
    'facegen plot timelapse runs/celeba --prompt "an old man" --count 3',
)


class SourceOf(StrEnum):
    """Where the faces come from."""

    AUTO = "auto"
    PREVIEWS = "previews"
    CHECKPOINTS = "checkpoints"


def register(group: typer.Typer) -> None:
    group.command("timelapse", **described(ABOUT, *EXAMPLES))(timelapse)


def timelapse(
    run: Annotated[Path, typer.Argument(help="A run made by 'facegen train'.", show_default=False)],
    source: Annotated[
        SourceOf, typer.Option(help="auto: previews where nothing is asked for.")
    ] = SourceOf.AUTO,
    prompt: Prompt = None,
    attributes: Attributes = None,
    class_name: ClassName = None,
    like: Like = None,
    crop: Crop = "center",
    frames: Annotated[
        int | None, typer.Option(help="Steps at most; left out: 8, of an animation all.", min=2)
    ] = None,
    fps: Fps = 2.0,
    hold: Hold = 2.0,
    count: Annotated[int, typer.Option(help="Faces.", min=1)] = 6,
    seed: Seed = 0,
    guidance: Guidance = None,
    sampler: SamplerKind = None,
    steps: Steps = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .png, .svg, .pdf; .gif, .webp or .mp4 moves.",
            show_default="plots/SUBJECT-timelapse.png",
        ),
    ] = None,
    csv: Csv = False,
    show: Show = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.plotting.timelapse import plot_timelapse

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
    summary = plot_timelapse(
        run,
        out,
        options=options,
        source=source.value,
        frames=frames,
        fps=fps,
        hold=hold,
        csv=csv,
        progress=make_progress(quiet=quiet),
    )
    tell(summary, as_json=as_json, show=show)
