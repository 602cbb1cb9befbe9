"""Metrics over features, found by their kind and built for a feature network."""

from __future__ import annotations

from typing import Any

from facegen.config.kinds import load_kind
from facegen.metrics import FeatureMetric, ReferenceFeatures
from facegen.models.feature_networks import FeatureExtractor


def metric_class(kind: str) -> type[FeatureMetric] | None:
    """The class of a metric that judges features; None of one that judges something else.

    Raises:
        UsageError: no such kind, or outside code that nobody allowed.
    """
    built: Any = load_kind("metrics", kind).build
    return built if isinstance(built, type) and issubclass(built, FeatureMetric) else None


def build_metric(
    kind: str, extractor: FeatureExtractor, reference: ReferenceFeatures | None
) -> FeatureMetric:
    """The metric `kind`, with its default options, over features of `extractor`; the `reference` is None only
    for one that `needs_classes`."""
    module = load_kind("metrics", kind)
    build: Any = module.build
    wired = {"class_weights": extractor.class_weights} if build.needs_classes else {"reference": reference}
    return build(module.Config(kind=kind), **wired)
