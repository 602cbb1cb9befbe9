"""`facegen plot interpolation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, Run, described
from facegen.cli.plot.options import Csv, Out, Show, tell
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
from facegen.errors import UsageError

ABOUT = (
    "Strips between two requests, two photos, or the noise of two seeds.",
    "Both ends are the faces that 'facegen sample' gives.",
)
EXAMPLES = (
    'facegen plot interpolation runs/celeba --from "a man" --to "a woman"',
    'facegen plot interpolation runs/celeba --prompt "a woman" --seeds 3,9',
    "facegen plot interpolation runs/vector --between me.jpg you.jpg",
)


def register(group: typer.Typer) -> None:
    group.command("interpolation", **described(ABOUT, *EXAMPLES))(interpolation)


def interpolation(
    run: Run,
    first: Annotated[
        str | None, typer.Option("--from", help="A class or words to begin with.", rich_help_panel=REQUEST)
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="A class or words to end with.", rich_help_panel=REQUEST)
    ] = None,
    between: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two photos, for a model of pictures.", rich_help_panel=REQUEST),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="A,B: two seeds, whose noise is interpolated.", rich_help_panel=REQUEST),
    ] = None,
    prompt: Prompt = None,
    attributes: Attributes = None,
    class_name: ClassName = None,
    like: Like = None,
    crop: Crop = "center",
    frames: Annotated[int, typer.Option(help="Faces of a strip, both ends included.", min=2)] = 9,
    count: Annotated[
        int | None, typer.Option(help="Seeds, a row each; left out: 3. Not with --seeds.", min=1)
    ] = None,
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
    from facegen.plotting.interpolation import plot_interpolation

    if (first is None) != (last is None):
        raise UsageError("--from and --to go together.", hint='Such as --from "a man" --to "a woman".')
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
    summary = plot_interpolation(
        run,
        out,
        words=None if first is None or last is None else (first, last),
        photos=between,
        seeds=None if seeds is None else two_seeds(seeds),
        frames=frames,
        options=options,
        csv=csv,
        progress=make_progress(quiet=quiet),
    )
    tell(summary, as_json=as_json, show=show)


def two_seeds(text: str) -> tuple[int, int]:
    """The numbers of "3,9".

    Raises:
        UsageError: written otherwise.
    """
    try:
        first, last = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds takes two whole numbers such as 3,9, not '{text}'.") from error
    return first, last
