"""What a diffusion process does over its timesteps: signal, noise, their ratio, and where training looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.plotting.style import COLOURS, Plot, in_style, new_figure

if TYPE_CHECKING:
    import pandas as pd


def schedule_plot(table: pd.DataFrame, title: str) -> Plot:
    """Three panels over the noise level t/T in [0, 1], a row of `table` each level.

    Columns of `table`: `noise_level`, `alpha`, `sigma`, `log_snr` (natural logarithm of alpha^2 / sigma^2,
    NaN where infinite), `density` (of the levels drawn in training; 1 is uniform) and `loss_weight`.
    """
    figure = new_figure(9.0, 2.9)
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
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return Plot(figure, table)
