"""`facegen plot reconstructions`: held-out pictures and what an autoencoder makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facegen.autoencoders import load_autoencoder
from facegen.errors import UsageError
from facegen.evaluation.reconstruction import reconstructed_pairs
from facegen.formats.dataset import Dataset
from facegen.metrics.reconstruction import Config, build
from facegen.models.chosen_images import chosen_indices
from facegen.models.devices import resolve_device
from facegen.plotting.image_table import image_table
from facegen.plotting.requested import pictures, run_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot

IMAGES, AMPLIFIED = 8, 4.0
BATCH = 32


def plot_reconstructions(
    autoencoder: Path | str,
    dataset: Path,
    out: Path | None = None,
    *,
    split: str = "validation",
    count: int = IMAGES,
    seed: int = 0,
    amplify: float = AMPLIFIED,
    device: str = "auto",
    csv: bool = False,
) -> PlotSummary:
    """Draw `count` pictures of `split`, drawn by `seed`, over their reconstructions with PSNR and difference.

    `autoencoder` is a run, a folder, a hub name or "identity"; the mean of its latents is decoded. The
    difference is shown `amplify` times as large, and told in levels of 0 to 255.

    Raises:
        UsageError: no pictures asked for, an amplification that is not above 0, or a wrong suffix.
        DataError: not a data set, or no such split.
        MissingModelError, StorageError: the autoencoder cannot be had.
    """
    if count < 1 or not amplify > 0:
        raise UsageError(f"--count must be at least 1 and --amplify above 0, not {count} and {amplify:g}.")
    name = run_of(Path(autoencoder))
    path = figure_path(out, name, "reconstructions")
    at = resolve_device(device)
    opened = Dataset.open(dataset)
    pictured = opened.split(split)
    loaded = load_autoencoder(autoencoder, at)
    rows = chosen_indices(len(pictured), count, seed)
    pairs = list(reconstructed_pairs(loaded, pictured, rows, BATCH, at))
    images, made = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    metric = build(Config())
    metric.update(made, images)
    psnr = metric.per_image()["psnr"].tolist()
    names = [str(each) for each in pictured.frame["id"].iloc[rows.tolist()]]
    originals, reconstructed = pictures(images), pictures(made)
    difference = np.abs(originals.astype(np.int16) - reconstructed)
    mean = difference.mean(axis=(1, 2, 3))
    amplified = np.minimum(difference * amplify, 255).astype(np.uint8)
    figure = image_table(
        np.stack([originals, reconstructed, amplified]),
        row_labels=["original", "reconstruction", f"difference\n× {amplify:g}"],
        captions=[names, [f"{value:.1f} dB" for value in psnr], [f"{value:.1f}/255" for value in mean]],
        title=f"{name.name} on {Path(dataset).resolve().name}, {split}",
    )
    table = pd.DataFrame({"id": names, "psnr_db": psnr, "mean_difference": mean})
    facts = {"Pictures": len(rows), "PSNR in dB": sum(psnr) / len(psnr)}
    return save_plot(Plot(figure, table), path, csv=csv, facts=facts)
