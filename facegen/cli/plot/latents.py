"""`facegen plot latents`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facegen.cli.options import Json, Quiet, described
from facegen.cli.plot.options import Csv, Out, Show, tell

ABOUT = (
    "A map of latents, coloured by a label, with faces on it.",
    "Where faces lie in the space a generator learns, by PCA, t-SNE or UMAP (extra 'umap').",
)
EXAMPLES = (
    "facegen plot latents latents --method tsne --color-by Smiling",
    "facegen plot latents runs/celeba --thumbnails 100 --out map.pdf",
)


class Method(StrEnum):
    """How many dimensions become two."""

    PCA = "pca"
    TSNE = "tsne"
    UMAP = "umap"


def register(group: typer.Typer) -> None:
    group.command("latents", **described(ABOUT, *EXAMPLES))(latents)


def latents(
    source: Annotated[
        Path,
        typer.Argument(help="Latents, or a run trained on them.", show_default=False),
    ],
    method: Annotated[Method, typer.Option(help="How many dimensions become two.")] = Method.PCA,
    color_by: Annotated[
        str | None,
        typer.Option(help="Attribute, class column or number.", show_default="the most balanced attribute"),
    ] = None,
    thumbnails: Annotated[
        int | None,
        typer.Option(help="Show at most this many faces, decoded; 0: none.", min=0, show_default="40"),
    ] = None,
    count: Annotated[int, typer.Option(help="Draw this many latents, at random.", min=3)] = 5000,
    split: Annotated[str, typer.Option(help="Of which images: train, validation or test.")] = "train",
    seed: Annotated[int, typer.Option(help="Of the choice of latents, and of the method.", min=0)] = 0,
    perplexity: Annotated[
        float | None,
        typer.Option(help="Of t-SNE: about how many neighbours count.", show_default="30"),
    ] = None,
    out: Out = None,
    csv: Csv = False,
    show: Show = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.plotting.latents import LatentMapOptions, plot_latents

    options = LatentMapOptions(method.value, color_by, thumbnails, count, split, seed, perplexity)
    summary = plot_latents(source, out, options, make_progress(quiet=quiet), csv=csv)
    tell(summary, as_json=as_json, show=show)
