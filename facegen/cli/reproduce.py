"""`facegen reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import HARDWARE, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.sampling.reproduce import ReproduceSummary

ABOUT = (
    "Make an image again from the settings it carries.",
    "Finds the model by its hash, and says how close it came: the same pixels, or how they differ. Takes the"
    " images and grids of 'facegen sample' and the studio.",
)


def register(app: typer.Typer) -> None:
    app.command(
        "reproduce",
        **described(
            ABOUT,
            "facegen reproduce samples/0001/seed-00000003.png",
            "facegen reproduce face.png --run runs/celeba --out again.png",
            "facegen reproduce like-me.png --photo moved/me.jpg --json",
        ),
    )(reproduce)


def reproduce(
    image: Annotated[Path, typer.Argument(help="A PNG made by facegen.", show_default=False)],
    run: Annotated[
        Path | None,
        typer.Option(help="The model; left out: the run the image names, or any near by with its weights."),
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A photo of --like or --between that was moved; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="PNG to write; left out: compare only.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Left out: the kind the image was made on.", rich_help_panel=HARDWARE),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.sampling.reproduce import ReproduceOptions
    from facegen.sampling.reproduce import reproduce as run_reproduce

    options = ReproduceOptions(run, tuple(photo or ()), out, device)
    summary = run_reproduce(image, options, make_progress(quiet=quiet))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: ReproduceSummary) -> None:
    from facegen.cli.results import print_facts

    closeness = summary.closeness
    result = "identical: every pixel is the same"
    if not closeness.identical:
        result = (
            f"differs: by {closeness.max_difference} of 255 grey levels at most, "
            f"{closeness.mean_difference:.3g} on average; PSNR {closeness.psnr:.1f} dB"
        )
    weights = "as the image says" if summary.same_weights else "not the image's"
    print_facts(
        {
            "Image": f"{summary.image}" + ("" if summary.shows == "image" else f" (a {summary.shows})"),
            "Model": f"{summary.checkpoint} (sha256 {summary.model_sha256[:12]}..., {weights})",
            "Result": result,
            "Why": "\n".join(summary.reasons) or None,
            "Written": summary.out,
        }
    )
