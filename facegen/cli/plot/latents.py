"""`facegen plot latents`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.plot.figure import Csv, Out, figure
from facegen.plotting.options import LatentMapOptions

if TYPE_CHECKING:
    from facegen.plotting.saving import PlotSummary
    from facegen.protocols import Progress


@figure
def latents(
    source: Annotated[Path, Argument(help="Latents, or a run trained on them.")],
    options: LatentMapOptions,
    progress: Progress,
    out: Out = None,
    csv: Csv = False,
) -> PlotSummary:
    """A map of latents, coloured by a label, with faces on it.

    Where faces lie in the space a generator learns, by PCA, t-SNE or UMAP (extra 'umap').

        facegen plot latents latents --method tsne --color-by Smiling
        facegen plot latents runs/celeba --thumbnails 100 --out map.pdf
    """
    from facegen.plotting.latents import plot_latents

    return plot_latents(source, out, options, progress, csv=csv)
