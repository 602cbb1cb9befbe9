"""`facegen encode`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.console import duration_text
from facegen.cli.forecast import print_forecast
from facegen.cli.options import DryRun, PreparedFolder
from facegen.cli.results import numbers_text, print_facts
from facegen.encoding.options import EncodeOptions
from facegen.options import Option
from facegen.processes import world

if TYPE_CHECKING:
    from facegen.encoding.encode import EncodeSummary
    from facegen.forecast import Forecast
    from facegen.protocols import Progress


def _print(summary: EncodeSummary | Forecast) -> None:
    from facegen.forecast import Forecast

    if isinstance(summary, Forecast):
        print_forecast(summary)
        return
    counts = ", ".join(f"{count:,} {split}" for split, count in summary.counts.items() if count)
    print_facts(
        {
            "Latents": f"{summary.out} ({counts})",
            "Sample shape": " x ".join(map(str, summary.sample_shape)),
            "Scaling": summary.scaling_scale and f"x {numbers_text(summary.scaling_scale)}",
            "Captions": summary.unique_captions,
            "Size": f"{summary.size_bytes / 1e6:,.1f} MB",
            "Time": duration_text(summary.seconds),
        }
    )


@command(_print, many=True)
def encode(
    dataset: PreparedFolder,
    autoencoder: Annotated[str, Option("Run, folder, hub name or identity.", completes="runs")],
    out: Annotated[Path, Option("Folder for the latents.")],
    options: EncodeOptions,
    progress: Progress,
    afresh: Annotated[bool, Option("Make everything anew instead of going on.")] = False,
    dry_run: DryRun = False,
) -> EncodeSummary | Forecast:
    """Encode a data set into latents, what a generator is trained on.

    The autoencoder is a run of facegen, a diffusers folder, a hub name, or identity (plain pixels). Stopped
    anywhere, the same command goes on where it stood. On a changed data set or damaged latents it makes anew
    what it must.

        facegen encode data/celeba --autoencoder runs/ae --out latents --flips
        facegen encode data/me --autoencoder stabilityai/sd-vae-ft-mse --out lat
        facegen encode data/mine --autoencoder identity --out pixels --dry-run
    """
    if dry_run:
        from facegen.encoding.dry_run import encoding_forecast

        return world().first(lambda: encoding_forecast(dataset, autoencoder, options))
    from facegen.encoding.encode import encode

    return encode(dataset, autoencoder, out, replace(options, resume=not afresh), progress)
