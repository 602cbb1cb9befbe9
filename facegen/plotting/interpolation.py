"""`facegen plot interpolation`: strips between two requests, two photos, or the noise of two seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facegen.errors import UsageError
from facegen.models.noise import SeedBetween
from facegen.plotting.image_table import image_table
from facegen.plotting.requested import Requested, check_frames, pictures, run_of, words_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress
from facegen.sampling.sample import SampleOptions

FRAMES, WALKS = 9, 3
HOW = "Give --from WORDS --to WORDS, --between PHOTO PHOTO, or --seeds A,B."


def plot_interpolation(
    run: Path,
    out: Path | None = None,
    *,
    words: tuple[str, str] | None = None,
    photos: tuple[Path, Path] | None = None,
    seeds: tuple[int, int] | None = None,
    frames: int = FRAMES,
    options: SampleOptions | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw `frames` faces on the way between two ends, which are given in exactly one way.

    `words`: two classes, attributes or prompts; what the model makes of them is mixed, a row for each seed
    (3). `photos`: the same between two photos, for a model of pictures. `seeds`: one request of `options`,
    and noise on the arc between those of two seeds. Both ends are the faces that `facegen sample` gives.

        plot_interpolation(Path("runs/celeba"), words=("a man", "a woman"), frames=7)

    Raises:
        UsageError: not exactly one way, fewer than 2 frames, or what this model cannot be asked.
        DataError: a photo that cannot be read.
        MissingModelError, StorageError: the run cannot be loaded.
    """
    ways = [way for way in (words, photos, seeds) if way is not None]
    if len(ways) != 1:
        raise UsageError(f"An interpolation goes between two ends of one kind, not of {len(ways)}.", hint=HOW)
    check_frames(frames)
    options = options or SampleOptions()
    if seeds is None and words_of(options):
        raise UsageError("--prompt, --attributes, --class and --like go with --seeds alone.", hint=HOW)
    if seeds is not None and min(seeds) < 0:
        raise UsageError(f"--seeds must be 0 or more, not {min(seeds)}.")
    path = figure_path(out, run_of(run), "interpolation")
    if photos is not None:
        options = replace(options, between=photos, frames=frames)
    requested = Requested.open(run, options, progress)
    positions = torch.linspace(0, 1, frames)
    labels = [f"{100 * position:.0f} %" for position in positions.tolist()]
    if words is not None:
        strips = _between_words(requested, words, positions)
    elif seeds is not None:
        strips = _between_seeds(requested, seeds, positions)
        for end, seed in ((0, seeds[0]), (-1, seeds[1])):
            labels[end] = f"seed {seed}\n{labels[end]}"
    else:
        strips = _between_photos(requested, positions)
        labels = ["photo", *labels, "photo"]
    table = pd.DataFrame({"frame": range(frames), "position": positions.tolist()})
    plot = Plot(image_table(**strips, column_labels=labels), table)
    return save_plot(plot, path, csv=csv, facts={"Frames": frames})


# What `image_table` takes of the rows of each way: faces (rows, F, H, W, 3) at F `positions` from 0 to 1.


def _between_words(requested: Requested, words: tuple[str, str], positions: torch.Tensor) -> dict[str, Any]:
    seeds = requested.seeds(WALKS)
    return {
        "images": requested.walk(words, torch.stack([1 - positions, positions], dim=1), seeds),
        "row_labels": [f"seed {seed}" for seed in seeds],
        "title": f"{requested.title}: from {words[0]} to {words[1]}",
    }


def _between_seeds(requested: Requested, seeds: tuple[int, int], positions: torch.Tensor) -> dict[str, Any]:
    requested = replace(requested, options=replace(requested.options, count=len(positions)))
    plan = requested.plan(len(positions))
    if len(plan.inputs) != len(positions):
        raise UsageError("--seeds takes one photo of --like.")
    noises = [SeedBetween(*seeds, position) for position in positions.tolist()]
    return {"images": requested.draw(plan.inputs, noises)[None], "title": requested.title}


def _between_photos(requested: Requested, positions: torch.Tensor) -> dict[str, Any]:
    """Each row stands between the two photos."""
    plan, seeds = requested.plan(WALKS), requested.seeds(WALKS)
    images = requested.draw(plan.inputs, [face.seed for face in plan.faces])
    images = images.reshape(len(seeds), len(positions), *images.shape[1:])
    photos = [cell.show for cell in plan.cells if not isinstance(cell.show, int)]
    first, last = photos[0], photos[-1]
    left, right = (
        np.broadcast_to(pictures(photo.image), (len(seeds), 1, *images.shape[2:])) for photo in (first, last)
    )
    return {
        "images": np.concatenate([left, images, right], axis=1),
        "row_labels": [f"seed {seed}" for seed in seeds],
        "title": f"{requested.title}: from {first.name} to {last.name}",
    }
