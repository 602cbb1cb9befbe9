"""`facegen sample`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.completion import attribute_requests, sampler_kinds
from facegen.cli.options import HARDWARE, Device, Json, Quiet, Run, described

if TYPE_CHECKING:
    from facegen.sampling.sample import SampleSummary

ABOUT = (
    "Draw faces for words, attributes or a class.",
    "Makes PNGs that carry their settings, and a grid. Image i has seed SEED + i and is the same at any batch"
    " size.",
)
REQUEST, SAMPLING = "What to ask for", "Sampling (the run's own where left out)"


class Weights(StrEnum):
    """Averaged or plain weights."""

    EMA = "ema"
    MODEL = "model"


def register(app: typer.Typer) -> None:
    app.command(
        "sample",
        **described(
            ABOUT,
            'facegen sample runs/celeba --prompt "a smiling woman with blond hair"',
            'facegen sample runs/celeba --attributes "Smiling=1,Eyeglasses=0" --count 64',
            "facegen sample runs/utkface --class female --guidance 2 --sampler ddim",
            'facegen sample runs/celeba --prompt "an old man" --negative "a hat" --seed 7',
            'facegen sample runs/utkface --blend "Asian:0.5,White:0.5"',
            "facegen sample runs/vector --like me.jpg --count 8",
            "facegen sample runs/vector --between me.jpg you.jpg --frames 9",
        ),
    )(sample)


def sample(
    run: Run,
    prompt: Annotated[
        str | None,
        typer.Option(help="In words, e.g. 'a smiling woman, no glasses'.", rich_help_panel=REQUEST),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            help="NAME=1 asks for, NAME=0 against; comma-separated.",
            autocompletion=attribute_requests,
            rich_help_panel=REQUEST,
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="A class of the data set.", rich_help_panel=REQUEST)
    ] = None,
    blend: Annotated[
        str | None,
        typer.Option(help="A mix: NAME:WEIGHT,NAME:WEIGHT of classes or wishes.", rich_help_panel=REQUEST),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(help="A photo to vary; may be given several times.", rich_help_panel=REQUEST),
    ] = None,
    between: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two photos to walk between.", rich_help_panel=REQUEST),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(help="Pictures of a walk; left out: 9.", min=2, rich_help_panel=REQUEST),
    ] = None,
    crop: Annotated[
        str,
        typer.Option(
            help="How photos are cut: center, face (aligned CelebA), none, or SHARE,X,Y.",
            rich_help_panel=REQUEST,
        ),
    ] = "center",
    negative: Annotated[
        str | None,
        typer.Option(help="What guidance steers away from, in words.", rich_help_panel=REQUEST),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(help="Images; left out: 16, 8 of each photo, or 4 walks between two.", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first image.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="New folder; left out: samples/0001, samples/0002, ...")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; 1 is off.", min=0, rich_help_panel=SAMPLING)
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, dpmpp_2m, heun or euler.",
            autocompletion=sampler_kinds,
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampler steps.", min=1, rich_help_panel=SAMPLING)] = None,
    weights: Annotated[
        Weights, typer.Option(help="ema: averaged; model: as last trained.", rich_help_panel=SAMPLING)
    ] = Weights.EMA,
    batch_size: Annotated[
        int | None, typer.Option(help="Images drawn at once.", min=1, rich_help_panel=HARDWARE)
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.sampling.sample import SampleOptions
    from facegen.sampling.sample import sample as run_sample

    options = SampleOptions(
        prompt=prompt,
        attributes=attributes,
        class_name=class_name,
        blend=blend,
        like=tuple(like or ()),
        between=between,
        frames=frames,
        crop=crop,
        negative=negative,
        guidance=guidance,
        sampler=sampler,
        steps=steps,
        seed=seed,
        count=count,
        out=out,
        batch_size=batch_size,
        device=device,
        weights=weights.value,
    )
    summary = run_sample(run, options, make_progress(quiet=quiet))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: SampleSummary) -> None:
    from facegen.cli.results import print_facts

    reading = summary.reading
    print_facts(
        {
            "Images": f"{len(summary.paths)} in {summary.grid.parent}",
            "Grid": summary.grid,
            "Blend": summary.strip,
            "Understood": "; ".join(f"'{words}' as {meaning}" for words, meaning in reading.understood)
            or None,
            "Not understood": ", ".join(f"'{words}'" for words in reading.not_understood) or None,
        }
    )
