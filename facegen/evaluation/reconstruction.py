"""`facegen eval reconstruction`: what an autoencoder loses of a data set's images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.autoencoders import LoadedAutoencoder, load_autoencoder
from facegen.errors import DataError
from facegen.evaluation.judged_images import is_run
from facegen.evaluation.options import ReconstructionOptions
from facegen.evaluation.score_rows import score_row
from facegen.evaluation.steps import Evaluation, captioned, evaluation_path, save_picture, saved
from facegen.formats.classifier_run import check_image_size
from facegen.formats.dataset import Dataset, DatasetSplit
from facegen.formats.far import named
from facegen.formats.images import to_uint8, to_unit
from facegen.formats.influences import Influence, Influences, pairing_of
from facegen.formats.reports import ScoreRow
from facegen.metrics import Z95, FeatureStatistics, frechet_distance
from facegen.metrics.reconstruction import Config, Fidelity, ReconstructionFidelity
from facegen.models.chosen_images import chosen_indices
from facegen.models.devices import resolve_device
from facegen.models.feature_networks import FeatureExtractor, load_extractor
from facegen.models.fixed_rows import decoded, encoded
from facegen.models.perceptual import PerceptualJudge, load_perceptual_judge
from facegen.processes import world
from facegen.progress import SilentProgress
from facegen.protocols import Progress

MIN_FRECHET_SAMPLES = 16
JACKKNIFE_GROUPS = 20
PAIRS_A_ROW = 4


@dataclass(frozen=True, kw_only=True)
class ReconstructionReport(Evaluation):
    """Fidelity of reconstructions, per image and as a set.

    `psnr` is in dB; intervals of the three means are by bootstrap over images. `frechet` is the distance of
    originals and reconstructions (`score`, `low`, `high`, `num_features`), its interval by a jackknife over
    pairs. `worst` lists the images that lost most, by PSNR.
    """

    metric: str = "reconstruction"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    psnr: Fidelity
    ssim: Fidelity
    distance: Fidelity | None
    distance_name: str | None
    distance_fingerprint: str | None
    frechet: dict[str, float] | None
    features: str | None
    features_fingerprint: str | None
    num_samples: int
    worst: tuple[dict[str, Any], ...]
    autoencoder: str
    autoencoder_kind: str
    autoencoder_fingerprint: str
    dataset: str
    dataset_fingerprint: str
    split: str
    image_size: int
    latent_shape: tuple[int, ...]
    remarks: tuple[str, ...]
    picture: Path | None = None


def evaluate_reconstruction(
    autoencoder: Path | str,
    dataset: Path | str,
    options: ReconstructionOptions | None = None,
    progress: Progress | None = None,
) -> ReconstructionReport:
    """Judge what `autoencoder` (a run, a folder, a hub name) makes of the images of `dataset`.

    A run's report is kept in `RUN/evaluations`, any other's in `options.out`.

    Raises:
        DataError: not a data set, no such split, too few images for a Fréchet distance.
        MissingModelError: the autoencoder or the weights of a judge cannot be had.
        UsageError: images of a size that does not fit, or an unknown judge.
    """
    options, progress = options or ReconstructionOptions(), progress or SilentProgress()
    started = time.monotonic()
    device = resolve_device(options.device)
    opened = Dataset.open(dataset)
    split = opened.split(options.split)
    size = opened.manifest.image_size
    rows = chosen_indices(len(split), options.num_samples, options.seed)
    judge, extractor = _judges(options, size, len(rows), device, progress)
    loaded = load_autoencoder(autoencoder, device)
    latent_shape = tuple(loaded.module.latent_shape(size))
    metric = ReconstructionFidelity(Config(), distance=judge.distance if judge else None)
    before, after = [], []
    with progress.stage("Reconstructing", total=len(rows)) as bar:
        for images, reconstructed in reconstructed_pairs(loaded, split, rows, options.batch_size, device):
            metric.update(reconstructed, images)
            if extractor is not None:
                before.append(extractor(images))
                after.append(extractor(reconstructed))
            bar.advance(len(images))
    result, order = metric.compute(), metric.per_image()["psnr"].argsort()[: options.worst_images]
    frechet = _frechet(torch.cat(before), torch.cat(after)) if extractor is not None else None
    report = ReconstructionReport(
        scores=_scores(result, judge, frechet, extractor, len(rows)),
        fingerprint={
            "dataset": opened.manifest.fingerprint,
            "split": options.split,
            "image_size": size,
        },
        psnr=result["psnr"],
        ssim=result["ssim"],
        distance=result.get("distance"),
        distance_name=judge.name if judge else None,
        distance_fingerprint=judge.fingerprint if judge else None,
        frechet=frechet,
        features=extractor.name if extractor else None,
        features_fingerprint=extractor.fingerprint if extractor else None,
        num_samples=len(rows),
        worst=_worst(metric.per_image(), order, split, rows),
        autoencoder=str(autoencoder),
        autoencoder_kind=loaded.kind,
        autoencoder_fingerprint=loaded.fingerprint,
        dataset=named(opened.folder),
        dataset_fingerprint=opened.manifest.fingerprint,
        split=options.split,
        image_size=size,
        latent_shape=latent_shape,
        remarks=tuple(_remarks(options, extractor, len(rows), after)),
        seconds=round(time.monotonic() - started, 2),
    )
    shown = rows[torch.from_numpy(order.copy())]
    pairs = list(reconstructed_pairs(loaded, split, shown, options.batch_size, device))
    out, path = options.out, Path(autoencoder)
    if out is None and is_run(path):
        out = evaluation_path(path, "reconstruction", "json")
    if out is None:
        return report
    picture = save_picture(out.with_suffix(".png"), _picture(report, pairs))
    images = pairing_of({"dataset": report.dataset_fingerprint, "split": split.name, "rows": rows.tolist()})
    of_images = {name: Influence(torch.as_tensor(found)) for name, found in metric.per_image().items()}
    return saved(replace(report, picture=picture, saved_to=out), out, Influences(of_images, images))


def _scores(
    result: dict[str, Fidelity],
    judge: PerceptualJudge | None,
    frechet: dict[str, float] | None,
    extractor: FeatureExtractor | None,
    count: int,
) -> dict[str, ScoreRow]:
    """The means as scores that compare, and the Fréchet distance at this count."""
    rows: dict[str, ScoreRow] = {}
    for name, found in result.items():
        settings = {"distance": judge.fingerprint} if judge is not None and name == "distance" else {}
        better = "lower" if name == "distance" else "higher"
        told = f"the mean {name} of an image from its reconstruction"
        rows[name] = score_row("reconstruction", found["mean"], found, better, told, settings=settings)
    if frechet is not None and extractor is not None:
        settings = {"features": extractor.fingerprint, "num_samples": count}
        told = "the distance at this number of images"
        rows["frechet"] = score_row(
            "reconstruction", frechet["score"], frechet, "lower", told, settings=settings
        )
    return rows


def _judges(
    options: ReconstructionOptions, size: int, count: int, device: torch.device, progress: Progress
) -> tuple[PerceptualJudge | None, FeatureExtractor | None]:
    judge = extractor = None
    if options.distance is not None:
        judge = load_perceptual_judge(
            options.distance,
            device,
            progress,
            image_size=size,
            lpips_file=options.lpips_weights,
            vgg16_file=options.vgg16_weights,
        )
    if options.features is not None:
        if count < MIN_FRECHET_SAMPLES:
            raise DataError(
                f"{count} images are too few for a Fréchet distance, which compares covariances; at least "
                f"{MIN_FRECHET_SAMPLES} are needed."
            )
        extractor = load_extractor(options.features, options.weights, device, progress)
        check_image_size(f"The network of '{extractor.name}'", extractor.image_size, size)
    return judge, extractor


def reconstructed_pairs(
    loaded: LoadedAutoencoder, split: DatasetSplit, rows: Tensor, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images, their reconstructions), both uint8 (B, 3, H, W) on the CPU; from means, without noise."""

    def pair(part: Tensor) -> tuple[Tensor, Tensor]:
        images = split.images(part)
        latents = encoded(loaded.module, to_unit(images), device)
        return images, to_uint8(decoded(loaded.module, latents, images.shape[-1], device)).cpu()

    return world().divided(rows.split(batch_size), pair)


def _frechet(before: Tensor, after: Tensor) -> dict[str, float]:
    """Distance of both sets of features (N, D), with an interval by a delete-a-group jackknife over pairs,
    as an image and its reconstruction go together."""

    def distance(kept: Tensor) -> float:
        return frechet_distance(FeatureStatistics.of(after[kept]), FeatureStatistics.of(before[kept]))

    count = len(before)
    everything, score = torch.arange(count), distance(torch.arange(count))
    groups = min(JACKKNIFE_GROUPS, count)
    without = np.array([distance(everything[everything % groups != group]) for group in range(groups)])
    error = float(np.sqrt((groups - 1) / groups * np.square(without - without.mean()).sum()))
    return {
        "score": score,
        "low": max(0.0, score - Z95 * error),
        "high": score + Z95 * error,
        "num_features": before.shape[1],
    }


def _worst(
    scores: dict[str, np.ndarray], order: np.ndarray, split: DatasetSplit, rows: Tensor
) -> tuple[dict[str, Any], ...]:
    ids = split.frame["id"]
    return tuple(
        {"id": str(ids.iloc[int(rows[int(place)])]), **{name: float(v[place]) for name, v in scores.items()}}
        for place in order
    )


def _remarks(
    options: ReconstructionOptions, extractor: FeatureExtractor | None, count: int, after: list[Tensor]
) -> Iterator[str]:
    if options.split == "train":
        yield "These images may be those the autoencoder was trained on; unseen ones tell more."
    if extractor is not None and after and count <= after[0].shape[1]:
        yield (
            f"{count:,} images for {after[0].shape[1]:,} features: the Fréchet distance is biased upwards, "
            "and compares only at equal counts."
        )


def _picture(report: ReconstructionReport, pairs: list[tuple[Tensor, Tensor]]) -> Image.Image:
    """The worst images, each beside its reconstruction."""
    originals, reconstructed = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    tiles = torch.stack([originals, reconstructed], dim=1).flatten(0, 1)
    captions = []
    for row in report.worst:
        captions += [row["id"], f"{row['psnr']:.1f} dB\nSSIM {row['ssim']:.2f}"]
    return captioned(tiles, 2 * PAIRS_A_ROW, captions)
