"""`facegen plot samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.completion import attribute_requests
from facegen.cli.options import Device, Json, Quiet, described
from facegen.cli.plot.options import Csv, Out, Show, tell
from facegen.cli.plot.request_options import REQUEST, Crop, Guidance, SamplerKind, Seed, Steps

ABOUT = (
    "A labelled grid of faces: a row for each request, the same seeds in all.",
    "Without requests: a row a class, or the labels of held-out records. A folder of PNGs that 'facegen"
    " sample' made is shown as it is.",
)
EXAMPLES = (
    'facegen plot samples runs/celeba --prompt "a woman" --prompt "a man"',
    "facegen plot samples runs/utkface --count 6 --out classes.pdf",
    "facegen plot samples samples/0001",
)


def register(group: typer.Typer) -> None:
    group.command("samples", **described(ABOUT, *EXAMPLES))(samples)


def samples(
    subject: Annotated[
        Path, typer.Argument(help="A run, a checkpoint, or a folder of sampled PNGs.", show_default=False)
    ],
    prompt: Annotated[
        list[str] | None, typer.Option(help="In words; each makes a row.", rich_help_panel=REQUEST)
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=1,NAME=0; each makes a row.",
            autocompletion=attribute_requests,
            rich_help_panel=REQUEST,
        ),
    ] = None,
    class_name: Annotated[
        list[str] | None, typer.Option("--class", help="A class; each makes a row.", rich_help_panel=REQUEST)
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(help="A photo to vary; each makes a row.", rich_help_panel=REQUEST),
    ] = None,
    crop: Crop = "center",
    data: Annotated[
        Path | None,
        typer.Option(help="Data or latents whose held-out records ask; left out: the run's own."),
    ] = None,
    count: Annotated[int | None, typer.Option(help="Faces in a row; left out: 8.", min=1)] = None,
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
    from facegen.plotting.samples import plot_samples
    from facegen.sampling.sample import SampleOptions

    requests = [
        *(SampleOptions(prompt=words) for words in prompt or ()),
        *(SampleOptions(attributes=text) for text in attributes or ()),
        *(SampleOptions(class_name=name) for name in class_name or ()),
        *(SampleOptions(like=(photo,)) for photo in like or ()),
    ]
    options = SampleOptions(
        seed=seed, count=count, guidance=guidance, sampler=sampler, steps=steps, crop=crop, device=device
    )
    summary = plot_samples(
        subject,
        out,
        options=options,
        requests=requests,
        data=data,
        csv=csv,
        progress=make_progress(quiet=quiet),
    )
    tell(summary, as_json=as_json, show=show)
