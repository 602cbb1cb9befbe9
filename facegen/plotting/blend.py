"""`facegen plot blend`: faces of each part of a mix, and of the mix, from the same noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from facegen.plotting.image_table import image_table
from facegen.plotting.requested import Requested, run_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress
from facegen.sampling.plan import shares, strip_weights
from facegen.sampling.request import parse_blend
from facegen.sampling.sample import SampleOptions

SEEDS = 4


def plot_blend(
    run: Path,
    blend: str,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw strips of `blend`, such as "Asian:0.5,White:0.5", a row for each seed (4 of them).

    The columns are those of `facegen sample --blend`: of two parts the first, half way to the mix, the mix,
    half way on, the second; of three each, each pair, all. The columns of single parts are exactly the faces
    that `facegen sample` gives for the part alone; the table has the weights.

    Raises:
        UsageError: what is no blend, terms this model does not know, or a model without blends.
        MissingModelError, StorageError, DataError: the run cannot be loaded.
    """
    path = figure_path(out, run_of(run), "blend")
    requested = Requested.open(run, replace(options or SampleOptions(), blend=blend), progress)
    weights = parse_blend(blend, requested.progress)
    terms, mixes, seeds = list(weights), strip_weights(list(weights.values())), requested.seeds(SEEDS)
    figure = image_table(
        requested.walk(terms, mixes, seeds),
        row_labels=[f"seed {seed}" for seed in seeds],
        column_labels=["\n".join(map(_share, row)) for row in mixes.tolist()],
        corner="\n".join(terms),
        title=requested.title,
    )
    plot = Plot(figure, pd.DataFrame(mixes.numpy(), columns=terms))
    facts = {"Blend": ", ".join(shares(terms, list(weights.values())))}
    return save_plot(plot, path, csv=csv, facts=facts)


def _share(weight: float) -> str:
    return f"{100 * weight:.0f} %" if weight else "–"
