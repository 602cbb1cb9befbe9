"""`facegen plot schedule`: the diffusion process of a run or of a preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from facegen.config.recipe import DRAWING_TASKS
from facegen.diffusion.denoiser import Objective
from facegen.errors import UsageError
from facegen.formats.far import near
from facegen.models.loading import load
from facegen.models.objective import objective_of
from facegen.models.published_pipeline import is_pipeline
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOURS, Plot, in_style, new_figure
from facegen.plotting.subjects import subject_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    objective, title = _objective(subject)
    table = schedule_table(objective)
    return save_plot(Plot(_figure(table, title), table), path, csv=csv)


def _objective(subject: str) -> tuple[Objective, str]:
    """What is trained, and what to call it."""
    if is_pipeline(near(subject)):
        objective = load(subject, "cpu").objective
        name, untold = Path(subject).resolve().name, "how training drew its levels is not told"
        return objective, f"{name}: predicts {objective.predicts}; {untold}"
    found = subject_of(subject)
    recipe, config = found.recipe, found.recipe.diffusion
    if recipe.task["kind"] not in DRAWING_TASKS:
        raise UsageError(f"'{subject}' is of task '{recipe.task['kind']}', which has no noise schedule.")
    objective = objective_of(config)
    schedule = f"{config.schedule.replace('_', ' ')}, predicts {config.parameterisation}"
    return objective, f"{found.name}: {schedule if objective.path.is_discrete else 'rectified flow'}"


def schedule_table(objective: Objective) -> pd.DataFrame:
    """A row a `noise_level`, t/T in [0, 1]: `alpha`, `sigma`, `log_snr`, `density`, `loss_weight`.

    `log_snr` is the natural logarithm of alpha^2 / sigma^2, NaN where infinite; `density` that of the levels
    drawn in training, 1 where it is uniform.
    """
    levels = torch.linspace(0, 1, NUM_LEVELS, dtype=torch.float64)
    path = objective.path
    timesteps = levels * path.last_timestep
    if path.is_discrete:
        timesteps = timesteps.round()
    alpha, sigma = path.alpha_sigma(timesteps)
    even = (torch.arange(NUM_DRAWS) + 0.5) / NUM_DRAWS
    drawn = path.noise_level(objective.timesteps(even))
    counts, edges = np.histogram(drawn.numpy(), bins=NUM_BINS, range=(0.0, 1.0))
    middles = (edges[1:] + edges[:-1]) / 2
    with np.errstate(divide="ignore"):
        log_snr = 2 * (np.log(alpha.numpy()) - np.log(sigma.numpy()))
    weight = objective.loss_weight(timesteps.float()).numpy()
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


def _figure(table: pd.DataFrame, title: str) -> Figure:
    """Three panels: signal and noise, their ratio, and where training looks."""
    figure = new_figure(9.0, 2.9, title)
    with in_style():
        paths, ratio, training = figure.subplots(1, 3)
        level = table["noise_level"]
        paths.plot(level, table["alpha"], label="alpha (signal)")
        paths.plot(level, table["sigma"], label="sigma (noise)", color=COLOURS[1])
        paths.set_ylabel("share of x_t")
        paths.legend()
        ratio.plot(level, table["log_snr"], color=COLOURS[2])
        ratio.axhline(0, color="black", lw=0.6, label="as much noise as signal")
        ratio.legend()
        ratio.set_ylabel("log SNR")
        training.fill_between(level, table["density"], color=COLOURS[5], alpha=0.5, lw=0)
        training.plot(level, table["density"], label="drawn in training", color=COLOURS[0])
        training.plot(level, table["loss_weight"], label="loss weight", color=COLOURS[1], ls="--")
        training.set_ylabel("density, weight (1: even)")
        training.set_ylim(bottom=0)
        training.legend()
        for axes, name in ((paths, "Path"), (ratio, "Signal to noise"), (training, "Training")):
            axes.set_xlabel("noise level t/T")
            axes.set_xlim(0, 1)
            axes.set_title(name)
    return figure
