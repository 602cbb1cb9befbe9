"""Which scores are metrics that papers report: in which features, by whose protocol.

A score in any other features, or with other weights, is a distance of the same form and not that metric.
"""

from __future__ import annotations

from dataclasses import dataclass

from facegen.models.feature_networks import (
    CLEAN_INCEPTION,
    CLIP_336,
    DINOV2,
    INCEPTION,
    INCEPTION_PIXELS,
    FeatureExtractor,
)


@dataclass(frozen=True)
class PublishedMetric:
    """A metric by the `name` that papers use; `score` is what reports call it. Protocols: docs/metrics.md."""

    name: str
    score: str
    features: str


PUBLISHED = (
    PublishedMetric("FID", "fid", INCEPTION),
    PublishedMetric("FID at infinity", "fid_infinity", INCEPTION),
    PublishedMetric("clean FID", "fid", CLEAN_INCEPTION),
    PublishedMetric("FD-DINOv2", "fid", DINOV2),
    PublishedMetric("KID", "kid", INCEPTION),
    PublishedMetric("clean KID", "kid", CLEAN_INCEPTION),
    PublishedMetric("CMMD", "cmmd", CLIP_336),
    PublishedMetric("MIND", "mind", INCEPTION),
    PublishedMetric("Inception score", "inception_score", INCEPTION),
    PublishedMetric("improved precision", "precision", "vgg16"),
    PublishedMetric("improved recall", "recall", "vgg16"),
    PublishedMetric("density", "density", "vgg16"),
    PublishedMetric("coverage", "coverage", "vgg16"),
)


def published_name(score: str, extractor: FeatureExtractor) -> str | None:
    """What papers call the `score` in these features; None where it is no published metric."""
    found = (one for one in PUBLISHED if (one.score, one.features) == (score, extractor.name))
    metric = next(found, None)
    return metric.name if metric is not None and extractor.published else None


def resize_remarks(extractor: FeatureExtractor, image_size: int) -> list[str]:
    """A warning where the network's resize skips pixels, unlike that of clean FID."""
    if extractor.name != INCEPTION or image_size <= INCEPTION_PIXELS:
        return []
    return [
        f"Images of {image_size} pixels are made smaller for Inception without antialiasing, as in most "
        "papers: details become noise that the score counts. Beside it: facegen eval clean-fid."
    ]
