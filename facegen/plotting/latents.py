"""`facegen plot latents`: a map of the latents that a generator is trained on.

Letters: N points, K pictures, H/W their height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from facegen.autoencoders import load_autoencoder
from facegen.errors import DataError, MissingModelError, UsageError, did_you_mean
from facegen.formats.dataset import MANIFEST_NAME
from facegen.formats.far import near
from facegen.formats.images import to_uint8
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.run import RunDirectory, folders_of
from facegen.models.fixed_rows import decoded
from facegen.plotting.attributes import numeric_columns
from facegen.plotting.options import LatentMapOptions
from facegen.plotting.projections import COMPONENTS_BEFORE, Method, check_method, pca, tsne, umap
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOUR_MAP, COLOURS, MUTED, Plot, in_style, new_figure
from facegen.protocols import Progress
from facegen.types import LabelSchema
from facegen.vocabulary.words import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT_PERPLEXITY = 30.0
DEFAULT_THUMBNAILS = 40
FEWEST = 3
TITLES: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
MAP_INCHES = 6.4  # the longer side of the map
FRAME_INCHES = (0.9, 0.75)  # labels and title around it
LEGEND_INCHES, BAR_INCHES = 0.3, 0.84  # below the map, for classes; right of it, for numbers
LEGEND_COLUMNS = 4  # a line of them is about as wide as the map
FLATTEST = 0.4  # the shorter side of the map as a share of the longer
MAX_CLASSES = len(COLOURS)
THUMBNAIL_SHARE = 0.05  # of the longer side of what the points span
MARGIN = 1.3  # around the points, in thumbnails


@dataclass(frozen=True)
class PointColours:
    """What points are coloured by: `codes` (N) into `classes`, -1 where unknown; or, without classes,
    numbers (N), NaN where unknown."""

    name: str
    codes: np.ndarray
    classes: Sequence[str] = ()


def plot_latents(
    source: Path, out: Path | None, options: LatentMapOptions, progress: Progress, *, csv: bool = False
) -> PlotSummary:
    """Draw latents, scaled as the denoiser sees them, in two dimensions.

    `source` is a folder of latents, or a run that was trained on one.

    Raises:
        UsageError: neither of them, an unknown `color_by`, or `perplexity` without t-SNE.
        DataError: no such split, or too few latents for the method.
        MissingModelError: umap-learn, or the autoencoder that thumbnails were asked of, is not there.
    """
    _check(options)
    path = figure_path(out, source, f"latents-{options.method}")
    store = open_latents_of(source)
    split = store.split(options.split)
    chosen = _choose(len(split), options)
    frame = split.frame.iloc[chosen].reset_index(drop=True)
    colours = point_colours(frame, store.index.labels, options.color_by)
    means = split.gather(torch.from_numpy(chosen)).mean
    scaled = store.index.scaling.apply(means).flatten(1).numpy()
    points, axis_labels, facts = project(scaled, options, progress)
    thumbnails = _thumbnails(store, points, means, options, progress)
    title = f"{Path(source).resolve().name}: {TITLES[options.method]} of {len(points):,} latents"
    title += f" ({split.name})" + (f", by {readable(colours.name)}" if colours else "")
    figure = _figure(points, colours, thumbnails, title, axis_labels, ticks=options.method == "pca")
    table = pd.DataFrame({"id": frame["id"], "x": points[:, 0], "y": points[:, 1]})
    if colours is not None:
        table[colours.name] = frame[colours.name]
    facts = {"Latents": len(points), "Coloured by": colours.name if colours else None, **facts}
    if thumbnails is not None:
        facts["Faces shown"] = len(thumbnails[0])
    return save_plot(Plot(figure, table), path, csv=csv, facts=facts)


def open_latents_of(source: Path) -> LatentStore:
    """The latents in `source`, or those that the run `source` was trained on.

    Raises:
        UsageError: no such folder, a data set, or a run whose latents are not there.
        DataError, StorageError: latents that are unfinished or damaged.
    """
    run = RunDirectory(Path(source))
    if run.exists:
        told = run.recipe().data.path
        for folder in map(near, folders_of(run.path, told) if told else ()):
            if (folder / INDEX_FILE).is_file():
                return LatentStore.open(folder)
        raise UsageError(
            f"The run '{source}' names '{told}' as its data; there are no latents to be found.",
            hint="Name the folder that 'facegen encode' wrote: facegen plot latents LATENTS",
        )
    if not run.path.is_dir():
        raise UsageError(f"There is no folder '{source}'.", hint="Name latents, or a run trained on them.")
    if (run.path / MANIFEST_NAME).is_file():
        raise UsageError(
            f"'{source}' is a data set, of which no latents have been made.",
            hint=f"Make them: facegen encode {source} --autoencoder NAME_OR_PATH --out LATENTS",
        )
    return LatentStore.open(run.path)


def project(
    points: np.ndarray, options: LatentMapOptions, progress: Progress
) -> tuple[np.ndarray, tuple[str, str], dict[str, Any]]:
    """`points` (N, D) in two dimensions (N, 2), names of the axes, and what is told about it.

    Raises:
        DataError: too few points for the method.
        MissingModelError: UMAP's package is not installed.
    """
    if len(points) < FEWEST:
        raise DataError(f"A map needs {FEWEST} latents or more; there are {len(points)}.")
    if options.method == "pca":
        components, shares = pca(points, 2, options.seed)
        if components.shape[1] < 2:  # latents of one number
            components, shares = np.pad(components, ((0, 0), (0, 1))), np.pad(shares, (0, 1))
        first, second = (
            f"PC {i + 1} ({100 * share:.1f} % of the variance)" for i, share in enumerate(shares)
        )
        return components, (first, second), {"Variance explained": f"{100 * shares.sum():.1f} %"}
    components, shares = pca(points, COMPONENTS_BEFORE, options.seed)
    kept = {"Of the variance": f"{100 * shares.sum():.1f} % in the {len(shares)} components it was given"}
    if options.method == "umap":
        return umap(components, options.seed, progress), ("UMAP 1", "UMAP 2"), kept
    perplexity = DEFAULT_PERPLEXITY if options.perplexity is None else options.perplexity
    flat = tsne(components, perplexity, options.seed, progress)
    return flat, ("t-SNE 1", "t-SNE 2"), {**kept, "Perplexity": perplexity}


def point_colours(frame: pd.DataFrame, labels: LabelSchema, color_by: str | None) -> PointColours | None:
    """What the rows of `frame` are coloured by: `color_by`, or the most balanced label; None without labels.

    Raises:
        UsageError: no such label, or one with more classes than there are colours.
    """
    numeric = numeric_columns(frame, labels)
    name = _most_balanced(frame, labels) if color_by is None else color_by
    if name is None:
        return None
    known = [*labels.attributes, *labels.classes, *numeric]
    if name not in known:
        raise UsageError(
            f"There is no label '{name}' to colour by.{did_you_mean(name, known)}",
            hint=f"There are: {', '.join(known) or 'none'}.",
        )
    column: Any = frame[name]
    if name in labels.attributes:
        return PointColours(name, column.fillna(-1).to_numpy(dtype=int), ("no", "yes"))
    if name in numeric:
        return PointColours(name, column.astype("Float64").to_numpy(dtype=float, na_value=np.nan))
    classes = labels.classes[name]
    if len(classes) > MAX_CLASSES:
        raise UsageError(f"'{name}' has {len(classes)} classes; {MAX_CLASSES} can be told apart by colour.")
    codes = column.map({value: code for code, value in enumerate(classes)}).fillna(-1)
    return PointColours(name, codes.to_numpy(dtype=int), classes)


def _most_balanced(frame: pd.DataFrame, labels: LabelSchema) -> str | None:
    """The attribute of which the rarer answer is commonest; without attributes, the first class column."""
    if not labels.attributes:
        return next((name for name, values in labels.classes.items() if len(values) <= MAX_CLASSES), None)
    rarer = {name: min((frame[name] == answer).sum() for answer in (0, 1)) for name in labels.attributes}
    return max(rarer, key=lambda name: rarer[name])


def _check(options: LatentMapOptions) -> None:
    check_method(options.method)
    if options.perplexity is not None and options.method != "tsne":
        raise UsageError(
            f"--perplexity belongs to t-SNE, not to {TITLES[options.method]}.", hint="--method tsne"
        )
    if options.perplexity is not None and not options.perplexity >= 1:
        raise UsageError(f"--perplexity must be 1 or more, not {options.perplexity:g}.")


def _choose(total: int, options: LatentMapOptions) -> np.ndarray:
    """Rows to draw, in the split's order; at random where there are more than asked for."""
    if total <= options.count:
        return np.arange(total)
    return np.sort(np.random.default_rng(options.seed).choice(total, options.count, replace=False))


def _thumbnails(
    store: LatentStore, points: np.ndarray, means: torch.Tensor, options: LatentMapOptions, progress: Progress
) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices (K) and decoded faces uint8 (K, H, W, 3); None if none are wanted or can be had."""
    wanted = DEFAULT_THUMBNAILS if options.thumbnails is None else options.thumbnails
    if wanted == 0:
        return None
    reference = store.index.autoencoder["source"]
    try:
        autoencoder = load_autoencoder(store.autoencoder_folder or reference).module
    except MissingModelError as error:
        if options.thumbnails is not None:
            raise
        progress.warn(f"No faces are shown, as the autoencoder '{reference}' is not to be had: {error}")
        return None
    indices = spread_out(points, wanted, view_of(points).thumbnail)
    latents = means[torch.from_numpy(indices)]
    images = to_uint8(decoded(autoencoder, latents, store.index.image_size, torch.device("cpu")))
    return indices, images.permute(0, 2, 3, 1).numpy()


def spread_out(points: np.ndarray, count: int, side: float) -> np.ndarray:
    """Indices of up to `count` of `points` (N, 2) whose squares of `side` do not overlap, spread evenly.

    Farthest-point sampling in the maximum norm from the point nearest the centre (Gonzalez 1985): each next
    one is the farthest from those taken, until squares would overlap.
    """
    taken = [int(np.abs(points - np.median(points, axis=0)).max(axis=1).argmin())]
    nearest = np.abs(points - points[taken[0]]).max(axis=1)
    while len(taken) < count and nearest.max() >= side:
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.abs(points - points[taken[-1]]).max(axis=1))
    return np.array(taken)


@dataclass(frozen=True)
class View:
    """What of the plane is shown, in the points' own unit: `centre` (2), `size` (2: width, height), and the
    `thumbnail`'s side."""

    centre: np.ndarray
    size: np.ndarray
    thumbnail: float


def view_of(points: np.ndarray) -> View:
    """The view that shows all of `points` (N, 2), pictures at its rim included."""
    low, high = points.min(axis=0), points.max(axis=0)
    widest = max(float((high - low).max()), 1e-9)
    thumbnail = THUMBNAIL_SHARE * widest
    size = np.maximum(high - low, FLATTEST * widest) + MARGIN * thumbnail
    return View((low + high) / 2, size, thumbnail)


def _figure(
    points: np.ndarray,
    colours: PointColours | None,
    thumbnails: tuple[np.ndarray, np.ndarray] | None,
    title: str,
    axis_labels: tuple[str, str],
    *,
    ticks: bool,
) -> Figure:
    """The map of `points` (N, 2), both axes of one scale; `ticks` where numbers on them mean something.

    `thumbnails` are indices (K) and uint8 pictures (K, H, W, 3), drawn where their points are.
    """
    view = view_of(points)
    width, height = MAP_INCHES * view.size / view.size.max() + FRAME_INCHES
    if colours is not None:
        width, height = (width, height + LEGEND_INCHES) if colours.classes else (width + BAR_INCHES, height)
    figure = new_figure(width, height)
    with in_style():
        axes = figure.subplots()
        _scatter(figure, axes, points, colours)
        if thumbnails is not None:
            _place_thumbnails(axes, points, colours, *thumbnails, side=view.thumbnail)
        axes.set_aspect("equal")
        (left, bottom), (right, top) = view.centre - view.size / 2, view.centre + view.size / 2
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=axis_labels[0], ylabel=axis_labels[1])
        if not ticks:
            axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
        if colours is not None and colours.classes:
            _legend(figure, colours)
    return figure


def _scatter(figure: Figure, axes: Axes, points: np.ndarray, colours: PointColours | None) -> None:
    size = float(np.clip(30_000 / len(points), 3, 30))
    style: dict[str, Any] = {"s": size, "lw": 0, "alpha": 0.75, "rasterized": len(points) > 2000}
    if colours is None:
        axes.scatter(points[:, 0], points[:, 1], color=COLOURS[0], **style)
        return
    if not colours.classes:
        known = np.isfinite(colours.codes)
        axes.scatter(*points[~known].T, color=MUTED, **style)
        drawn = axes.scatter(*points[known].T, c=colours.codes[known], cmap=COLOUR_MAP, **style)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=35, pad=0.02)
        bar.set_label(readable(colours.name))
        bar.solids.set_alpha(1)  # type: ignore[union-attr]
        return
    axes.scatter(*points.T, color=[_colour(code) for code in colours.codes.tolist()], **style)


def _legend(figure: Figure, colours: PointColours) -> None:
    """What the colours mean, below the map."""
    from matplotlib.lines import Line2D

    handles = []
    for code in [*range(len(colours.classes)), -1]:
        number = int((colours.codes == code).sum())
        if number or code >= 0:
            label = "unknown" if code < 0 else readable(colours.classes[code])
            style: dict[str, Any] = {"marker": "o", "ls": "", "ms": 6, "color": _colour(code)}
            handles.append(Line2D([], [], **style, label=f"{label} ({number:,})"))
    columns = min(LEGEND_COLUMNS, len(handles))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, handletextpad=0.1)


def _colour(code: float) -> str:
    return MUTED if code < 0 else COLOURS[int(code)]


def _place_thumbnails(
    axes: Axes,
    points: np.ndarray,
    colours: PointColours | None,
    indices: np.ndarray,
    pictures: np.ndarray,
    *,
    side: float,
) -> None:
    from matplotlib.patches import Rectangle

    half = side / 2 * 0.94
    for index, picture in zip(indices, pictures, strict=True):
        x, y = points[index]
        axes.imshow(
            picture, extent=(x - half, x + half, y - half, y + half), zorder=3, interpolation="lanczos"
        )
        edge = _colour(float(colours.codes[index])) if colours is not None and colours.classes else "black"
        corner = (x - half, y - half)
        axes.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, ec=edge, lw=1.3, zorder=4))
