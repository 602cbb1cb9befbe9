"""`facegen encode`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.encoding.encode import EncodeSummary

ABOUT = (
    "Encode a data set into latents, what a generator is trained on.",
    "The autoencoder is a run of facegen, a diffusers folder, a hub name, or identity (plain pixels)."
    " Stopped anywhere, the same command goes on where it stood.",
)
WHAT = "What is encoded"


class ComputeDtype(StrEnum):
    """What the encoder computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Scaling(StrEnum):
    """Where the scaling of the latents comes from."""

    MEASURED = "measured"
    MODEL = "model"


def register(app: typer.Typer) -> None:
    app.command(
        "encode",
        **described(
            ABOUT,
            "facegen encode data/celeba --autoencoder runs/ae --out latents --flips",
            "facegen encode data/me --autoencoder stabilityai/sd-vae-ft-mse --out lat",
            "facegen encode data/mine --autoencoder identity --out pixels --dry-run",
        ),
    )(encode)


def encode(
    dataset: Annotated[Path, typer.Argument(help="Folder made by 'facegen prepare'.", show_default=False)],
    autoencoder: Annotated[str, typer.Option(help="Run, folder, hub name or identity.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the latents.", show_default=False)],
    flips: Annotated[
        bool, typer.Option("--flips", help="Encode mirror images too.", rich_help_panel=WHAT)
    ] = False,
    scaling: Annotated[
        Scaling,
        typer.Option(
            help="measured: per channel, on the training split; model: the autoencoder's own factor.",
            rich_help_panel=WHAT,
        ),
    ] = Scaling.MEASURED,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            help="Cache embeddings of the unique captions by this text encoder: a folder or hub name.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    image_encoder: Annotated[
        str | None,
        typer.Option(
            help="Keep what this encoder sees in each image: CLIP or DINOv2 (folder or hub), classifier:RUN.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most this many images per split.", min=1, rich_help_panel=WHAT)
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(help="Images per file; left out: about 256 MiB a file.", min=1, rich_help_panel=WHAT),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Images encoded at once.", min=1, rich_help_panel=HARDWARE)
    ] = 32,
    dtype: Annotated[
        ComputeDtype, typer.Option(help="What the encoder computes in.", rich_help_panel=HARDWARE)
    ] = ComputeDtype.FLOAT32,
    device: Device = "auto",
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Make everything anew instead of going on.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell size and time from a few images, and stop.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.encoding.encode import EncodeOptions
    from facegen.encoding.encode import encode as run_encode

    options = EncodeOptions(
        batch_size=batch_size,
        flips=flips,
        shard_size=shard_size,
        dtype=dtype.value,
        scaling=scaling.value,
        text_encoder=text_encoder,
        image_encoder=image_encoder,
        device=device,
        limit=limit,
        dry_run=dry_run,
        resume=not afresh,
    )
    summary = run_encode(dataset, autoencoder, out, options, make_progress(quiet=quiet))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: EncodeSummary) -> None:
    from facegen.cli.console import duration_text
    from facegen.cli.results import numbers_text, print_facts

    counts = ", ".join(f"{count:,} {split}" for split, count in summary.counts.items() if count)
    print_facts(
        {
            "Latents" if not summary.dry_run else "Would make": f"{summary.out} ({counts})",
            "Sample shape": " x ".join(map(str, summary.sample_shape)),
            "Scaling": summary.scaling_scale and f"x {numbers_text(summary.scaling_scale)}",
            "Captions": summary.unique_captions,
            "Size": f"{summary.size_bytes / 1e6:,.1f} MB",
            "Time": duration_text(summary.seconds),
        }
    )
