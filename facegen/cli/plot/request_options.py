"""What the pictures of a run are asked with: the words of `facegen sample`, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import attribute_requests, sampler_kinds

if TYPE_CHECKING:
    from facegen.sampling.sample import SampleOptions

REQUEST, SAMPLING = "What to ask for", "Sampling (the run's own where left out)"

Prompt = Annotated[
    str | None, typer.Option(help="In words, e.g. 'a smiling woman, no glasses'.", rich_help_panel=REQUEST)
]
Attributes = Annotated[
    str | None,
    typer.Option(
        help="NAME=1 asks for, NAME=0 against; comma-separated.",
        autocompletion=attribute_requests,
        rich_help_panel=REQUEST,
    ),
]
ClassName = Annotated[
    str | None, typer.Option("--class", help="A class of the data set.", rich_help_panel=REQUEST)
]
Like = Annotated[
    Path | None, typer.Option(help="A photo to vary, for a model of pictures.", rich_help_panel=REQUEST)
]
Crop = Annotated[
    str,
    typer.Option(
        help="How photos are cut: center, face (aligned CelebA), none, or SHARE,X,Y.", rich_help_panel=REQUEST
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the first image.", min=0)]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; 1 is off.", min=0, rich_help_panel=SAMPLING)
]
SamplerKind = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="ddpm, ddim, dpmpp_2m, heun or euler.",
        autocompletion=sampler_kinds,
        rich_help_panel=SAMPLING,
    ),
]
Steps = Annotated[int | None, typer.Option(help="Sampler steps.", min=1, rich_help_panel=SAMPLING)]


def sample_options(*, like: Path | None = None, **options: Any) -> SampleOptions:
    """The options of a command as the rooms take them; one photo as the tuple of photos."""
    from facegen.sampling.sample import SampleOptions

    return SampleOptions(like=() if like is None else (like,), **options)
