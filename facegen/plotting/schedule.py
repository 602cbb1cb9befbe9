"""`facegen plot schedule`: the diffusion process of a run or of a preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facegen.diffusion.process import Process
from facegen.errors import UsageError
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.schedule_figure import schedule_plot
from facegen.plotting.subjects import subject_of

NUM_LEVELS = 500
NUM_BINS = 50
NUM_DRAWS = 200_000  # a bin's density is then known to about 2 %


def plot_schedule(subject: str, out: Path | None = None, *, csv: bool = False) -> PlotSummary:
    """Draw alphas, SNR and the training distribution over noise levels of a run, checkpoint or preset.

    Raises:
        UsageError: neither a run nor a preset, or it trains no diffusion.
        MissingModelError, StorageError: the run has no recipe, or it cannot be read.
    """
    path = figure_path(out, subject, "schedule")
    found = subject_of(subject)
    recipe = found.recipe
    if recipe.task["kind"] != "denoising":
        raise UsageError(f"'{subject}' is of task '{recipe.task['kind']}', which has no noise schedule.")
    process = Process(**recipe.diffusion.values())
    config = recipe.diffusion
    schedule = f"{config.schedule.replace('_', ' ')}, predicts {config.parameterisation}"
    title = f"{found.name}: {'rectified flow' if process.is_flow else schedule}"
    return save_plot(schedule_plot(schedule_table(process), title), path, csv=csv)


def schedule_table(process: Process) -> pd.DataFrame:
    """A row a noise level: see `facegen.plotting.schedule_figure.schedule_plot`."""
    levels = torch.linspace(0, 1, NUM_LEVELS, dtype=torch.float64)
    timesteps = levels * process.last_timestep
    alpha, sigma = process.alpha_sigma(timesteps if process.is_flow else timesteps.round())
    drawn = process.sample_timesteps(NUM_DRAWS, torch.Generator().manual_seed(0)) / process.num_timesteps
    counts, edges = np.histogram(drawn.numpy(), bins=NUM_BINS, range=(0.0, 1.0))
    middles = (edges[1:] + edges[:-1]) / 2
    with np.errstate(divide="ignore"):
        log_snr = 2 * (np.log(alpha.numpy()) - np.log(sigma.numpy()))
    weight = process.loss_weight((timesteps if process.is_flow else timesteps.round()).float()).numpy()
    return pd.DataFrame(
        {
            "noise_level": levels.numpy(),
            "alpha": alpha.numpy(),
            "sigma": sigma.numpy(),
            "log_snr": np.where(np.isfinite(log_snr), log_snr, np.nan),
            "density": np.interp(levels.numpy(), middles, counts / counts.mean()),
            "loss_weight": np.where(np.isfinite(weight), weight, np.nan),
        }
    )
