"""`facegen plot animation`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, Run, described
from facegen.cli.plot.options import Csv, Show, tell
from facegen.cli.plot.request_options import (
    REQUEST,
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
    "An animation of faces appearing out of noise, or of one class turning into another.",
    "The last frame is the face 'facegen sample' gives: pixel for pixel in .webp and .png, with 256 colours"
    " in .gif, about so in .mp4 (which needs the extra 'video').",
)
EXAMPLES = (
    'facegen plot animation runs/celeba --prompt "a smiling woman" --out face.gif',
    "facegen plot animation runs/utkface --class Asian --count 9 --fps 12",
    "facegen plot animation runs/utkface --walk all --frames 60 --out walk.mp4",
)


class What(StrEnum):
    """x_t: the noisy state; x0: the face predicted from it."""

    X_T = "x_t"
    X0 = "x0"


class EasingOf(StrEnum):
    """How frames are spread over the way."""

    LINEAR = "linear"
    EASE_IN_OUT = "ease-in-out"


AnimationOut = Annotated[
    Path | None,
    typer.Option(
        help="File to write: .gif, .webp, .png (APNG) or .mp4.", show_default="plots/SUBJECT-animation.gif"
    ),
]
Fps = Annotated[float, typer.Option(help="Frames a second: 0.1 to 60, of GIF to 50.")]
Hold = Annotated[float, typer.Option(help="Seconds that the last frame stands longer.")]


def register(group: typer.Typer) -> None:
    group.command("animation", **described(ABOUT, *EXAMPLES))(animation)


def animation(
    run: Run,
    prompt: Prompt = None,
    attributes: Attributes = None,
    class_name: ClassName = None,
    like: Like = None,
    crop: Crop = "center",
    walk: Annotated[
        str | None,
        typer.Option(
            help="Finished faces turning from one class or wish into the next: NAME,NAME or 'all' classes.",
            rich_help_panel=REQUEST,
        ),
    ] = None,
    what: Annotated[What, typer.Option(help="x_t: out of noise; x0: as predicted.")] = What.X_T,
    frames: Annotated[
        int | None, typer.Option(help="Frames; left out: one a step, of a walk 24.", min=2)
    ] = None,
    fps: Fps = 10.0,
    easing: Annotated[
        EasingOf, typer.Option(help="Spread of the frames; ease-in-out is slow at both ends.")
    ] = EasingOf.LINEAR,
    hold: Hold = 1.0,
    scale: Annotated[int, typer.Option(help="Show each pixel as SCALE x SCALE.", min=1)] = 1,
    count: Annotated[int, typer.Option(help="Faces; several stand in a grid.", min=1)] = 1,
    seed: Seed = 0,
    guidance: Guidance = None,
    sampler: SamplerKind = None,
    steps: Steps = None,
    out: AnimationOut = None,
    csv: Csv = False,
    show: Show = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.plotting.animation import Motion, plot_animation

    motion = Motion(
        what=what.value,
        walk=() if walk is None else tuple(term.strip() for term in walk.split(",")),
        frames=frames,
        fps=fps,
        easing=easing.value,
        hold=hold,
        scale=scale,
    )
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
    summary = plot_animation(
        run, out, options=options, motion=motion, csv=csv, progress=make_progress(quiet=quiet)
    )
    tell(summary, as_json=as_json, show=show)
