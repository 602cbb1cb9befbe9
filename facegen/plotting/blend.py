"""`facegen plot blend`: faces of each part of a mix, and of the mix, from the same noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from facegen.plotting.blend_figure import blend_plot
from facegen.plotting.requested import Requested, run_title, subject_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.protocols import Progress
from facegen.sampling.plan import shares, strip_weights
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
    path = figure_path(out, subject_of(run), "blend")
    requested = Requested.open(run, replace(options or SampleOptions(), blend=blend), progress)
    plan = requested.plan(SEEDS)
    weights: dict[str, float] = plan.told["blend"]
    mixes, seeds = strip_weights(list(weights.values())), requested.seeds(SEEDS)
    generator = requested.generator
    parts = [generator.inputs_for(generator.reading_of(term)) for term in weights]
    images = requested.walk(parts, mixes, seeds)
    table = pd.DataFrame(mixes.numpy(), columns=list(weights))
    title = run_title(run, SampleOptions(), generator)
    facts = {"Blend": ", ".join(shares(list(weights), list(weights.values())))}
    return save_plot(blend_plot(images, table, seeds, title), path, csv=csv, facts=facts)
