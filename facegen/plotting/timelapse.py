"""`facegen plot timelapse`: the same faces through training, from the run's previews or its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from facegen.config.recipe import DRAWING_TASKS
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.far import fetched
from facegen.formats.images import decode_image
from facegen.formats.run import RunDirectory
from facegen.plotting.animation import ANIMATION_SUFFIXES, check_animation, save_animation
from facegen.plotting.image_table import image_table
from facegen.plotting.requested import Requested, check_frames, evenly, words_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import SUFFIXES, Plot, figure_bytes
from facegen.protocols import Progress
from facegen.sampling.sample import SampleOptions

FACES, COLUMNS = 6, 8
GRID_GAP = 2  # white pixels between the faces of a preview
TIMELAPSE_SUFFIXES = (*SUFFIXES, *(suffix for suffix in ANIMATION_SUFFIXES if suffix not in SUFFIXES))

Source = Literal["auto", "previews", "checkpoints"]


@dataclass(frozen=True)
class Timelapse:
    """Faces (faces, steps, H, W, 3), their names, and, of an autoencoder, the pictures they are made of."""

    images: np.ndarray
    steps: list[int]
    labels: list[str]
    originals: np.ndarray | None = None


def plot_timelapse(
    run: Path,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    source: Source = "auto",
    frames: int | None = None,
    fps: float = 2.0,
    hold: float = 2.0,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw `options.count` faces (6) at steps of training: a figure, or an animation (.gif, .webp, .mp4).

    Previews are what the run drew while it trained, for fixed seeds and held-out conditions; of an
    autoencoder, held-out pictures and their reconstructions. Kept checkpoints are sampled anew for the
    request in `options`. "auto" takes previews where there are two and nothing is asked for. `frames` None is
    8 evenly spaced steps of a figure, and all of an animation.

    Raises:
        UsageError: not a run, fewer than two steps to show, or a request together with previews.
        DataError: a preview that does not fit the run.
        MissingModelError, StorageError: a checkpoint cannot be loaded.
    """
    options, directory = options or SampleOptions(), RunDirectory(run)
    task = directory.recipe().task["kind"]
    path = figure_path(out, run, "timelapse", TIMELAPSE_SUFFIXES)
    moving = path.suffix.lower() not in SUFFIXES
    if frames is not None:
        check_frames(frames)
    if moving:
        check_animation(path.suffix.lower(), fps, hold)
    most = frames if frames is not None or moving else COLUMNS
    previews = sorted(fetched(directory.path / "samples").glob("step-*.png"))
    if _takes_previews(run, source, options, len(previews)):
        chosen = [previews[number] for number in _chosen(len(previews), most)]
        shown = _of_previews(directory, chosen, options.count or FACES, pairs=task not in DRAWING_TASKS)
    else:
        shown = _of_checkpoints(run, options, most, progress)
    words = words_of(options)
    title = Path(run).resolve().name + (f": {words}" if words else "")
    table = pd.DataFrame({"step": shown.steps})
    if moving:
        each = zip(shown.images.swapaxes(0, 1), shown.steps, strict=True)
        pages = np.stack([_page(faces, f"{title}\nstep {step:,}") for faces, step in each])
        return save_animation(pages, table, path, fps=fps, hold=hold, csv=csv)
    images, columns = shown.images, [f"step\n{step:,}" for step in shown.steps]
    if shown.originals is not None:
        images = np.concatenate([shown.originals[:, None], images], axis=1)
        columns = ["original", *columns]
    figure = image_table(images, row_labels=shown.labels, column_labels=columns, title=title)
    plot = Plot(figure, table.rename_axis("column").reset_index())
    return save_plot(plot, path, csv=csv, facts={"Steps": len(shown.steps)})


def _page(faces: np.ndarray, title: str) -> np.ndarray:
    """A frame (h, w, 3) of an animation: a grid of the faces (N, H, W, 3) under the title."""
    columns = math.ceil(len(faces) ** 0.5)
    grid = np.pad(faces, ((0, -len(faces) % columns), (0, 0), (0, 0), (0, 0)))
    figure = image_table(grid.reshape(-1, columns, *faces.shape[1:]), title=title)
    return np.asarray(decode_image(figure_bytes(figure, ".png")))


def _takes_previews(run: Path, source: Source, options: SampleOptions, number: int) -> bool:
    if source == "previews" and words_of(options):
        raise UsageError(
            "Previews are drawn while training and cannot be asked for anything.",
            hint="Leave the request out, or use --source checkpoints.",
        )
    if source == "previews" and number < 2:
        raise UsageError(
            f"'{run}' has {number} previews, and a timelapse needs at least 2.",
            hint="Use --source checkpoints, or train with: --set training.preview_every_steps=1000",
        )
    return source == "previews" or (source == "auto" and number >= 2 and not words_of(options))


def _chosen(available: int, most: int | None) -> list[int]:
    return evenly(0, available - 1, min(available, available if most is None else most))


def _of_previews(run: RunDirectory, files: list[Path], count: int, *, pairs: bool) -> Timelapse:
    size = load_checkpoint(run.path, "latest").info.image_size
    if size is None:
        raise UsageError(f"'{run.path}' does not make pictures.")
    grids = [_cells(file, size) for file in files]
    if len({len(grid) for grid in grids}) > 1:
        raise DataError(f"The previews in '{files[0].parent}' do not show the same number of faces.")
    images = np.stack(grids, axis=1)
    steps = [int(file.stem.removeprefix("step-")) for file in files]
    if pairs:
        made = images[1::2][:count]
        labels = [f"picture {number + 1}" for number in range(len(made))]
        return Timelapse(made, steps, labels, images[::2, 0][:count])
    shown = images[:count]
    return Timelapse(shown, steps, [f"seed {number}" for number in range(len(shown))])


def _cells(file: Path, size: int) -> np.ndarray:
    """The faces (N, H, W, 3) of a preview, `size` pixels wide; empty places at the end are left out."""
    page, step = np.asarray(decode_image(file.read_bytes())), size + GRID_GAP
    if any((length - GRID_GAP) % step for length in page.shape[:2]):
        raise DataError(f"'{file}' is not a grid of pictures of {size} pixels.")
    rows, columns = ((length - GRID_GAP) // step for length in page.shape[:2])
    cells = (
        page[GRID_GAP:, GRID_GAP:].reshape(rows, step, columns, step, 3).swapaxes(1, 2)[:, :, :size, :size]
    )
    faces = cells.reshape(-1, size, size, 3)
    shown = np.flatnonzero((faces < 255).any(axis=(1, 2, 3)))
    return faces[: max(1, shown.max(initial=0) + 1)]


def _of_checkpoints(
    run: Path, options: SampleOptions, most: int | None, progress: Progress | None
) -> Timelapse:
    folders = list_checkpoints(Path(run))
    if len(folders) < 2:
        raise UsageError(
            f"'{run}' has {len(folders)} kept checkpoints, and a timelapse needs at least 2.",
            hint="Keep more when training: --set training.keep_last=10",
        )
    columns, steps, seeds = [], [], []
    for number in _chosen(len(folders), most):
        requested = Requested.open(folders[number], options, progress)
        plan = requested.plan(FACES)
        seeds = [face.seed for face in plan.faces]
        columns.append(requested.draw(plan.inputs, seeds))
        steps.append(requested.generator.step or 0)
    return Timelapse(np.stack(columns, axis=1), steps, [f"seed {seed}" for seed in seeds])
