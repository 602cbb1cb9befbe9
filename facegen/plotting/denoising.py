"""`facegen plot denoising`: x_t and predicted x0 on the way from noise to faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from facegen.errors import UsageError
from facegen.plotting.image_table import image_table
from facegen.plotting.requested import Requested, check_frames, evenly, run_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress
from facegen.sampling.sample import SampleOptions

SEEDS = 2
FRAMES = 8


def plot_denoising(
    run: Path,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    frames: int | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw `frames` evenly spaced steps (8, or all) from noise to the sample, two rows a seed (2 of them).

    The upper row is x_t, decoded where the model works on latents; the lower the x0 predicted from that x_t.
    The last column of both is the face that `facegen sample` gives for this seed and request.

    Raises:
        UsageError: fewer than 2 frames, more than there are states, or a request that does not fit.
        MissingModelError, StorageError, DataError: the run cannot be loaded.
    """
    check_frames(frames or FRAMES)
    path = figure_path(out, run_of(run), "denoising")
    requested = Requested.open(run, options, progress)
    total = requested.settings.steps
    frames = min(FRAMES, total + 1) if frames is None else frames
    if frames > total + 1:
        raise UsageError(
            f"--frames {frames} is more than the {total + 1} states of a walk of {total} steps.",
            hint=f"Use --frames {total + 1} or fewer, or more --steps.",
        )
    plan = requested.plan(SEEDS)
    seeds = [face.seed for face in plan.faces]
    states = list(requested.states(plan.inputs, seeds, set(evenly(0, total, frames))))
    columns = [np.stack([requested.decoded(state.x_t), requested.decoded(state.x0)], 1) for state in states]
    images = np.stack(columns, axis=2)  # (seeds, x_t and x0, columns, H, W, 3)
    figure = image_table(
        images.reshape(-1, *images.shape[2:]),
        row_labels=[f"seed {seed}\n{what}" for seed in seeds for what in ("x_t", "predicted x0")],
        column_labels=[f"step {state.step}\nt/T {state.noise_level:.2f}" for state in states],
        title=requested.title,
    )
    table = pd.DataFrame(
        [(state.step, state.noise_level) for state in states], columns=["step", "noise_level"]
    )
    facts = {"Steps": total, "Guidance": requested.settings.guidance_scale}
    return save_plot(Plot(figure, table), path, csv=csv, facts=facts)
