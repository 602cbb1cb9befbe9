"""What a metric found, kept beside the features that it found it in (`models/feature_cache.py`).

The key is the metric's kind and code, the feature network, and the bytes of what is judged and of what it is
held against.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facegen.formats.influences import Influence
from facegen.metrics import FeatureMetric, ReferenceFeatures, Score
from facegen.models.feature_cache import cached_tensors, modules_of
from facegen.models.feature_metrics import build_metric
from facegen.models.feature_networks import FeatureExtractor
from facegen.protocols import Progress

KNOWN = ("estimate", "low", "high", "standard_error", "spread")  # beside the value, where they are


@dataclass(frozen=True)
class Seen:
    """Features (N, D) under a name that other features have not."""

    features: Tensor
    name: str

    @staticmethod
    def of(features: Tensor) -> Seen:
        return Seen(features, digest(features))


@dataclass(frozen=True)
class KeptMetric:
    """A metric over features of `extractor`, as far as its findings can be kept."""

    kind: str
    metric: FeatureMetric
    extractor: FeatureExtractor
    against: str
    progress: Progress

    @staticmethod
    def of(
        kind: str, extractor: FeatureExtractor, reference: ReferenceFeatures, against: str, progress: Progress
    ) -> KeptMetric:
        """The metric `kind` against a `reference` whose name is `against` (see `name_of`)."""
        return KeptMetric(kind, build_metric(kind, extractor, reference), extractor, against, progress)

    def judge(self, seen: Seen) -> dict[str, Score]:
        """Scores by name, the main one first."""
        kept = self._kept("scores", seen, lambda: _packed(self.metric.judge(seen.features)))
        return _unpacked(kept)

    def values(self, seen: Seen | None) -> dict[str, float]:
        """The published values alone; none of too few images."""
        if seen is None or len(seen.features) < self.metric.min_samples:
            return {}

        def compute() -> dict[str, Tensor]:
            found = self.metric.values(seen.features)
            return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

        return {name: float(value) for name, value in self._kept("values", seen, compute).items()}

    def _kept(self, what: str, seen: Seen, compute: Any) -> Mapping[str, Tensor]:
        key = {
            "what": what,
            "kind": self.kind,
            "extractor": self.extractor.fingerprint,
            "judged": seen.name,
            "against": self.against,
        }
        return cached_tensors(key, modules_of(self.metric, _packed), compute, self.progress)


def name_of(reference: ReferenceFeatures) -> str:
    """One that no other reference has."""
    statistics = reference.statistics
    count = torch.tensor(statistics.num_samples)
    return digest(statistics.mean, statistics.root, count, reference.features)


def digest(*tensors: Tensor) -> str:
    """sha256 of the tensors' shapes and bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(repr((tensor.shape, tensor.dtype)).encode())
        found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _packed(scores: Mapping[str, Score]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    words: list[tuple[str, str, str]] = []
    for name, score in scores.items():
        words.append((name, score.better, score.interval_of))
        known = [math.nan if (number := getattr(score, field)) is None else number for field in KNOWN]
        tensors[f"{name}/numbers"] = torch.tensor([score.value, *known], dtype=torch.float64)
        if (of := score.influence) is not None:
            tensors[f"{name}/images"] = of.images.clone()  # of one score they may be those of another
            tensors[f"{name}/reference"] = of.reference.clone()
            tensors[f"{name}/rest"] = torch.tensor([of.num_reference, of.rest], dtype=torch.float64)
    tensors["words"] = torch.frombuffer(bytearray(json.dumps(words).encode()), dtype=torch.uint8)
    return tensors


def _unpacked(kept: Mapping[str, Tensor]) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for name, better, interval_of in json.loads(bytes(kept["words"].numpy())):
        value, *numbers = kept[f"{name}/numbers"].tolist()
        known = [None if math.isnan(number) else number for number in numbers]
        influence = None
        if f"{name}/images" in kept:
            count, rest = kept[f"{name}/rest"].tolist()
            influence = Influence(kept[f"{name}/images"], kept[f"{name}/reference"], int(count), rest)
        told = dict(zip(KNOWN, known, strict=True))
        scores[name] = Score(value, better, **told, interval_of=interval_of, influence=influence)
    return scores
