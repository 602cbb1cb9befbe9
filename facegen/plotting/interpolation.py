"""`facegen plot interpolation`: strips between two requests, two photos, or the noise of two seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facegen.errors import UsageError
from facegen.models.noise import SeedBetween
from facegen.plotting.interpolation_figure import interpolation_plot
from facegen.plotting.requested import (
    Requested,
    check_frames,
    pictures,
    run_title,
    subject_of,
    words_of,
)
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress
from facegen.sampling.request import check_takes, say_reading
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
    path = figure_path(out, subject_of(run), "interpolation")
    if photos is not None:
        options = replace(options, between=photos, frames=frames)
    requested = Requested.open(run, options, progress)
    if words is not None:
        plot = _between_words(requested, run, words, frames)
    elif seeds is not None:
        plot = _between_seeds(requested, run, seeds, frames)
    else:
        plot = _between_photos(requested, run, frames)
    return save_plot(plot, path, csv=csv, facts={"Frames": frames})


def _positions(frames: int) -> list[float]:
    return torch.linspace(0, 1, frames).tolist()


def _between_words(requested: Requested, run: Path, words: tuple[str, str], frames: int) -> Plot:
    generator, seeds = requested.generator, requested.seeds(WALKS)
    check_takes(generator, "blend")
    readings = [generator.reading_of(term) for term in words]
    for reading in readings:
        say_reading(generator, reading, requested.progress)
    positions = torch.linspace(0, 1, frames)
    weights = torch.stack([1 - positions, positions], dim=1)
    images = requested.walk([generator.inputs_for(reading) for reading in readings], weights, seeds)
    return interpolation_plot(
        images,
        _positions(frames),
        [f"seed {seed}" for seed in seeds],
        title=f"{run_title(run, requested.options, generator)}: from {words[0]} to {words[1]}",
    )


def _between_seeds(requested: Requested, run: Path, seeds: tuple[int, int], frames: int) -> Plot:
    requested = replace(requested, options=replace(requested.options, count=frames))
    plan = requested.plan(frames)
    if len(plan.inputs) != frames:
        raise UsageError("--seeds takes one photo of --like.")
    noises = [SeedBetween(*seeds, position) for position in _positions(frames)]
    return interpolation_plot(
        requested.draw(plan.inputs, noises)[None],
        _positions(frames),
        (),
        first=f"seed {seeds[0]}",
        last=f"seed {seeds[1]}",
        title=run_title(run, requested.options, requested.generator),
    )


def _between_photos(requested: Requested, run: Path, frames: int) -> Plot:
    plan = requested.plan(WALKS)
    images = requested.draw(plan.inputs, [face.seed for face in plan.faces])
    photos = [cell.show for cell in plan.cells if not isinstance(cell.show, int)]
    first, last = photos[0], photos[-1]
    seeds = requested.seeds(WALKS)
    return interpolation_plot(
        np.stack(np.split(images, len(seeds))),
        _positions(frames),
        [f"seed {seed}" for seed in seeds],
        photos=(pictures(first.image), pictures(last.image)),
        title=f"{run_title(run, SampleOptions(), requested.generator)}: from {first.name} to {last.name}",
    )
