"""Judging faces: features of torch-fidelity's Inception, clean-fid's resizing, Fréchet distances.

The network's weights are random, as its speed does not depend on them.

Letters: N images, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facegen.bench.result import Finding, StageResult, Way
from facegen.bench.targets import cost_ratio, finding, rate_ratio
from facegen.bench.timing import Bench, Subject
from facegen.compat import guard_torchvision
from facegen.metrics import FeatureStatistics, ReferenceFeatures, frechet_distance
from facegen.metrics.fid import Config, build
from facegen.models.devices import resolve_device
from facegen.models.feature_networks import INCEPTION_PIXELS, folded, load_extractor, random_inception
from facegen.models.resizing import bicubic_exact

PIXELS = 64
linalg: Any = torch.linalg  # torch has no types for it
FEATURES, FIDELITY, FORWARD = "facegen: features", "torch-fidelity: features", "its folded network alone"
RESIZED, CLEAN, BY_HAND = "facegen: resized", "clean-fid: resized", "channel by channel with Pillow"
DISTANCE, THEIRS = "facegen: distance of two covariances", "torch-fidelity: distance of two covariances"
WHOLE, THEIR_WHOLE = "facegen: distance of features", "torch-fidelity: distance of features"
PRODUCTS = "two products of the features"
INTERVAL = "facegen: distance, interval and extrapolation"


def measure(bench: Bench) -> StageResult:
    """Features of a few images, resizing of some more, distances of many drawn by chance."""
    images = torch.randint(0, 256, (bench.size(16, 2), 3, PIXELS, PIXELS), dtype=torch.uint8)
    features = _features(bench, images)
    resized = _resized(bench, images.repeat(bench.size(4, 1), 1, 1, 1))
    distances, equal = _distances(bench, bench.size(8_192, 256), bench.size(2_048, 64))
    findings = [
        rate_ratio(
            "eval/fidelity", "features, times torch-fidelity's rate", features[FEATURES], features[FIDELITY]
        ),
        rate_ratio("eval/forward", "features, of the network alone", features[FEATURES], features[FORWARD]),
        finding("eval/features", "largest difference of features, relative", [_apart(images)], unit=""),
        rate_ratio(
            "eval/frechet", "distance, times torch-fidelity's rate", distances[DISTANCE], distances[THEIRS]
        ),
        rate_ratio(
            "eval/frechet-whole",
            "covariances and distance, times torch-fidelity's rate",
            distances[WHOLE],
            distances[THEIR_WHOLE],
        ),
        cost_ratio(
            "eval/frechet-products",
            "covariances and distance, times two products",
            distances[WHOLE],
            distances[PRODUCTS],
        ),
        finding("eval/frechet-equal", "difference of the distances, relative", [equal], unit=""),
        cost_ratio(
            "eval/interval",
            "with interval, times covariances and distance",
            distances[INTERVAL],
            distances[WHOLE],
        ),
        *_resizing_findings(resized),
    ]
    ways = features | resized | distances
    left_out = [] if CLEAN in ways else ["clean-fid: it is not installed (pip install clean-fid)"]
    left_out.append("bfloat16: facegen computes features in float32 alone")
    sizes = {
        "images": len(images),
        "pixels": PIXELS,
        "features": (bench.size(8_192, 256), bench.size(2_048, 64)),
    }
    return StageResult("eval", sizes, tuple(ways.values()), tuple(findings), tuple(left_out))


def _features(bench: Bench, images: Tensor) -> dict[str, Way]:
    device = resolve_device("auto")
    extractor = load_extractor("random-inception", device=device)
    theirs = random_inception().to(device)
    ours = folded(random_inception()).to(device)
    trunk = nn.Sequential(*(part for name, part in ours.named_children() if name != "fc"))
    resized = torch.randn(len(images), 3, INCEPTION_PIXELS, INCEPTION_PIXELS, device=device)

    @torch.no_grad()
    def their_features() -> Tensor:
        return theirs(images.to(device))[0].cpu()

    @torch.inference_mode()
    def forward() -> Tensor:
        return trunk(resized)

    return bench.interleaved(
        Subject(FEATURES, "facegen", lambda: extractor(images), len(images)),
        Subject(FIDELITY, "peer", their_features, len(images)),
        Subject(FORWARD, "limit", forward, len(images)),
    )


@torch.no_grad()
def _apart(images: Tensor) -> float:
    """The largest difference from torch-fidelity's features, as a share of the largest of these."""
    device = resolve_device("auto")
    ours = load_extractor("random-inception", device=device)(images)
    theirs = random_inception().to(device)(images.to(device))[0].cpu()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _resized(bench: Bench, images: Tensor) -> dict[str, Way]:
    """To Inception's size as clean-fid does it: its own function, and a script's that does the same."""
    pictures = [image.permute(1, 2, 0).contiguous().numpy() for image in images]
    subjects = [
        Subject(RESIZED, "facegen", lambda: bicubic_exact(images, INCEPTION_PIXELS), len(images), "resize")
    ]
    if find_spec("cleanfid") is not None:
        guard_torchvision()
        from cleanfid.resize import build_resizer

        resize: Callable[[np.ndarray], np.ndarray] = build_resizer("clean")
        subjects.append(
            Subject(CLEAN, "peer", lambda: [resize(picture) for picture in pictures], len(images), "resize")
        )
    by_hand = Subject(
        BY_HAND, "limit", lambda: [_by_hand(picture) for picture in pictures], len(images), "resize"
    )
    return bench.interleaved(*subjects, by_hand)


def _by_hand(picture: np.ndarray) -> None:
    for channel in np.moveaxis(picture, -1, 0):
        image = Image.fromarray(channel.astype(np.float32))
        image.resize((INCEPTION_PIXELS, INCEPTION_PIXELS), Image.Resampling.BICUBIC)


def _resizing_findings(ways: dict[str, Way]) -> Iterator[Finding]:
    if CLEAN in ways:
        yield rate_ratio("eval/clean", "resizing, times clean-fid's rate", ways[RESIZED], ways[CLEAN])
    yield rate_ratio("eval/resize", "resizing, of Pillow alone", ways[RESIZED], ways[BY_HAND])


def _distances(bench: Bench, count: int, width: int) -> tuple[dict[str, Way], float]:
    """The distance of two sets of features (N, D), of their covariances, and how far the results differ."""
    guard_torchvision()
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    sets = [torch.randn(count, width, generator=generator) @ mixing for _ in range(2)]
    metric = build(Config(), reference=ReferenceFeatures.of(sets[1]))
    gaussians = [fid_features_to_statistics(features) for features in sets]

    def distance() -> float:
        return frechet_distance(*(_fitted(gaussian, count) for gaussian in gaussians))

    def theirs(statistics: list[Any]) -> float:
        return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]

    def products() -> None:
        for features in sets:
            double = features.double().numpy()
            np.matmul(double.T, double)  # numpy does half of what is symmetric

    def whole() -> float:
        return frechet_distance(*(FeatureStatistics.of(features) for features in sets))

    def their_whole() -> float:
        return theirs([fid_features_to_statistics(features) for features in sets])

    ways = bench.interleaved(
        Subject(DISTANCE, "facegen", distance, item="distance"),
        Subject(THEIRS, "peer", lambda: theirs(gaussians), item="distance"),
        Subject(WHOLE, "facegen", whole, item="distance"),
        Subject(INTERVAL, "facegen", lambda: metric.judge(sets[0]), item="distance"),
        Subject(THEIR_WHOLE, "peer", their_whole, item="distance"),
        Subject(PRODUCTS, "limit", products, item="distance"),
    )
    return ways, abs(whole() / their_whole() - 1)


def _fitted(gaussian: dict[str, np.ndarray], count: int) -> FeatureStatistics:
    mean, covariance = (torch.from_numpy(gaussian[name]).double() for name in ("mu", "sigma"))
    return FeatureStatistics(mean, linalg.cholesky(covariance).T, count)
