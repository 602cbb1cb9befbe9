"""`facegen plot latents`: a map of the latents that a generator is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facegen.autoencoders import load_autoencoder
from facegen.errors import DataError, MissingModelError, UsageError, did_you_mean
from facegen.formats.dataset import MANIFEST_NAME, RECORD_COLUMNS
from facegen.formats.images import to_uint8
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.run import RunDirectory, folders_of
from facegen.models.fixed_rows import decoded
from facegen.plotting.latents_figure import (
    MAX_CLASSES,
    PointColours,
    latents_plot,
    spread_out,
    view_of,
)
from facegen.plotting.projections import COMPONENTS_BEFORE, Method, check_method, pca, tsne, umap
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.protocols import Progress
from facegen.types import LabelSchema

DEFAULT_PERPLEXITY = 30.0
DEFAULT_THUMBNAILS = 40
FEWEST = 3
TITLES: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True)
class LatentMapOptions:
    """`count` latents of `split` are drawn with `seed` where there are more. `color_by` is an attribute, a
    class column or a numeric column (None: the most balanced attribute). `thumbnails` None is 40 faces where
    the autoencoder is to be had. `perplexity` is t-SNE's (None: 30)."""

    method: Method = "pca"
    color_by: str | None = None
    thumbnails: int | None = None
    count: int = 5000
    split: str = "train"
    seed: int = 0
    perplexity: float | None = None


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
    title += f" ({split.name})" + (f", by {colours.name.replace('_', ' ')}" if colours else "")
    plot = latents_plot(
        points,
        colours,
        axis_labels,
        title,
        _table(frame, points, colours),
        thumbnails,
        ticks=options.method == "pca",
    )
    facts = {"Latents": len(points), "Coloured by": colours.name if colours else None, **facts}
    if thumbnails is not None:
        facts["Faces shown"] = len(thumbnails[0])
    return save_plot(plot, path, csv=csv, facts=facts)


def open_latents_of(source: Path) -> LatentStore:
    """The latents in `source`, or those that the run `source` was trained on.

    Raises:
        UsageError: no such folder, a data set, or a run whose latents are not there.
        DataError, StorageError: latents that are unfinished or damaged.
    """
    source = Path(source)
    run = RunDirectory(source)
    if not run.exists:
        _check_latents(source)
        return LatentStore.open(source)
    told = run.recipe().data.path
    for folder in folders_of(source, told) if told else ():
        if (folder / INDEX_FILE).is_file():
            return LatentStore.open(folder)
    raise UsageError(
        f"The run '{source}' names '{told}' as its data; there are no latents to be found.",
        hint="Name the folder that 'facegen encode' wrote: facegen plot latents LATENTS",
    )


def _check_latents(source: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"There is no folder '{source}'.", hint="Name latents, or a run trained on them.")
    if (source / MANIFEST_NAME).is_file():
        raise UsageError(
            f"'{source}' is a data set, of which no latents have been made.",
            hint=f"Make them: facegen encode {source} --autoencoder NAME_OR_PATH --out LATENTS",
        )


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
    numeric = [
        str(name)
        for name in frame
        if name not in (*RECORD_COLUMNS, *labels.attributes, *labels.classes)
        and pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
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


def _table(frame: pd.DataFrame, points: np.ndarray, colours: PointColours | None) -> pd.DataFrame:
    table = pd.DataFrame({"id": frame["id"], "x": points[:, 0], "y": points[:, 1]})
    return table if colours is None else table.assign(**{colours.name: frame[colours.name]})
