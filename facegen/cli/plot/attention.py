"""`facegen plot attention`."""

from __future__ import annotations

from enum import StrEnum
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
from facegen.errors import UsageError

ABOUT = (
    "Where a model looks while it draws a face, laid over that face.",
    "Words or labels where it attends to them, otherwise places: what a cell of the picture looks at.",
)
EXAMPLES = (
    'facegen plot attention runs/text --prompt "a smiling woman"',
    'facegen plot attention runs/text --prompt "a smiling woman" --word smiling',
    "facegen plot attention runs/celeba --at 0.38,0.5 --at 0.5,0.75 --layers 4",
)
DRAWN = "What to draw"


class Kind(StrEnum):
    """To each other, or to words."""

    SELF = "self"
    CROSS = "cross"


def register(group: typer.Typer) -> None:
    group.command("attention", **described(ABOUT, *EXAMPLES))(attention)


def attention(
    run: Run,
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="self: of cells to each other; cross: to words or labels; left out: to words if any.",
            show_default=False,
            rich_help_panel=DRAWN,
        ),
    ] = None,
    layers: Annotated[
        str, typer.Option(help="How many, evenly spaced, or names with commas.", rich_help_panel=DRAWN)
    ] = "3",
    frames: Annotated[
        int, typer.Option(help="Steps to record, from noise to face.", min=2, rich_help_panel=DRAWN)
    ] = 6,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="A place that looks, X,Y as shares of the picture; may be given several times.",
            rich_help_panel=DRAWN,
            metavar="X,Y",
        ),
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            help="A word or label to follow over time; may be given several times.", rich_help_panel=DRAWN
        ),
    ] = None,
    prompt: Prompt = None,
    attributes: Attributes = None,
    class_name: ClassName = None,
    like: Like = None,
    crop: Crop = "center",
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
    from facegen.plotting.attention import AttentionOptions, plot_attention

    options = sample_options(
        prompt=prompt,
        attributes=attributes,
        class_name=class_name,
        like=like,
        crop=crop,
        seed=seed,
        guidance=guidance,
        sampler=sampler,
        steps=steps,
        device=device,
    )
    drawn = AttentionOptions(
        kind=None if kind is None else kind.value,
        layers=layers,
        frames=frames,
        at=tuple(map(_place, at or ())),
        words=tuple(word or ()),
    )
    summary = plot_attention(
        run, out, options=options, attention=drawn, csv=csv, progress=make_progress(quiet=quiet)
    )
    tell(summary, as_json=as_json, show=show)


def _place(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--at takes X,Y such as 0.5,0.75, not '{text}'.") from None
    return x, y
