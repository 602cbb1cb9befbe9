"""Scores for each group of images that were asked for alike: quality, variety and obedience by attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._bootstrap import ratio_interval
from facegen.metrics._features import Z95, FeatureFunction, ReferenceFeatures
from facegen.metrics.kid import kernel_estimate
from facegen.metrics.precision_recall import Config as PrecisionConfig
from facegen.metrics.precision_recall import build as build_precision

if TYPE_CHECKING:
    import pandas as pd

EVERYONE = "everyone"


class Config(KindConfig):
    """Groups of fewer than `min_scored` images get no scores, those below `small_below` are called small.

    Of the reference at most `max_reference` images a group are taken, drawn with `seed`.
    """

    kind: Literal["subgroups"] = "subgroups"
    min_scored: int = Field(default=16, ge=8)
    small_below: int = Field(default=50, ge=8)
    max_reference: int = Field(default=2000, ge=16)
    bootstrap_resamples: int = Field(default=1000, ge=100)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Group:
    """Images with one label: `value` is "yes" or "no" of an attribute, or a class of a class set."""

    label: str
    value: str

    def members(self, frame: pd.DataFrame) -> np.ndarray:
        """Row numbers of the frame that belong to it."""
        column = frame[self.label]
        if self.value in ("yes", "no") and str(column.dtype) not in ("string", "object", "str"):
            wanted = 1.0 if self.value == "yes" else 0.0
            values = column.astype("Float64").to_numpy(float, na_value=np.nan)
            return np.flatnonzero(values == wanted)
        return np.flatnonzero((column == self.value).fillna(False).to_numpy(bool))


def groups_of(attributes: Sequence[str], classes: Mapping[str, Sequence[str]]) -> list[Group]:
    """Both sides of every attribute, and every class of every class set."""
    sides = [Group(name, value) for name in attributes for value in ("yes", "no")]
    return sides + [Group(name, value) for name, values in classes.items() for value in values]


def build(
    config: Config,
    *,
    features: FeatureFunction,
    logits: Callable[[Tensor], Tensor],
    attributes: Sequence[str],
    groups: Sequence[Group],
    reference: Tensor,
    reference_records: pd.DataFrame,
) -> SubgroupScores:
    """Scores of `groups` against real images with `reference` features (M, D) and their records.

    `logits` gives what a classifier sees of `attributes`, uint8 (B, 3, H, W) -> (B, A).
    """
    return SubgroupScores(
        config, features, logits, tuple(attributes), tuple(groups), reference, reference_records
    )


class SubgroupScores:
    """`Metric` over images and the labels they were asked for with (or that they have)."""

    def __init__(
        self,
        config: Config,
        features: FeatureFunction,
        logits: Callable[[Tensor], Tensor],
        attributes: tuple[str, ...],
        groups: tuple[Group, ...],
        reference: Tensor,
        reference_records: pd.DataFrame,
    ) -> None:
        self._config, self._features, self._logits = config, features, logits
        self._attributes, self._groups = attributes, groups
        self._reference, self._reference_records = reference, reference_records
        self._seen: list[Tensor] = []
        self._seen_in_real: list[Tensor] = []
        self._collected: list[Tensor] = []
        self._records: list[pd.DataFrame] = []

    def update(self, images: Tensor, records: pd.DataFrame) -> None:
        """Add uint8 images (B, 3, H, W) and their labels."""
        self._collected.append(self._features(images))
        self._seen.append(self._logits(images) > 0)
        self._records.append(records)

    def update_real(self, images: Tensor) -> None:
        """Add the real images uint8 (B, 3, H, W) that the labels belong to, in the same order.

        What the classifier gets right of them is the most that can be asked of the others.
        """
        self._seen_in_real.append(self._logits(images) > 0)

    def compute(self) -> list[dict[str, Any]]:
        """One row a group, everyone first: `{"label", "value", "num_samples", "num_reference", "small",
        "kid", "precision", "recall", "accuracy", "real_accuracy"}`.

        Each score is `{"value", "low", "high"}` with a 95 % interval, or None where there are too few images;
        `accuracy` is the share of all attributes asked for that came true, `real_accuracy` the same of the
        real images with those labels.

        Raises:
            DataError: there were no images.
        """
        if not self._records:
            raise DataError("There are no images to judge.")
        import pandas as pd

        frame = pd.concat(self._records, ignore_index=True)
        features, answers = torch.cat(self._collected), {"accuracy": self._agreement(frame, self._seen)}
        if self._seen_in_real:
            answers["real_accuracy"] = self._agreement(frame, self._seen_in_real)
        everyone = np.arange(len(frame)), np.arange(len(self._reference))
        rows = [self._row(EVERYONE, "", *everyone, features, answers)]
        for group in self._groups:
            ours, real = group.members(frame), group.members(self._reference_records)
            rows.append(self._row(group.label, group.value, ours, real, features, answers))
        return rows

    def _row(
        self,
        label: str,
        value: str,
        ours: np.ndarray,
        real: np.ndarray,
        features: Tensor,
        answers: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ) -> dict[str, Any]:
        config, fewest = self._config, min(len(ours), len(real))
        row: dict[str, Any] = {
            "label": label,
            "value": value,
            "num_samples": len(ours),
            "num_reference": len(real),
            "small": fewest < config.small_below,
            **dict.fromkeys(("kid", "precision", "recall", "accuracy", "real_accuracy")),
        }
        for name, (hits, asked) in answers.items():
            if len(ours) >= config.min_scored and asked[ours].sum() > 0:
                row[name] = self._share(hits[ours], asked[ours])
        if fewest >= config.min_scored:
            x = features[torch.from_numpy(ours)]
            y = self._reference[torch.from_numpy(self._drawn(real, config.max_reference))]
            row["kid"] = _kernel_distance(x, y)
            row |= self._precision_and_recall(x, y)
        return row

    def _precision_and_recall(self, x: Tensor, y: Tensor) -> dict[str, dict[str, float | None]]:
        """At equal counts, as neighbourhoods of a larger set are tighter."""
        count = min(len(x), len(y))
        x, y = (part[torch.from_numpy(self._drawn(np.arange(len(part)), count))] for part in (x, y))
        metric = build_precision(
            PrecisionConfig(), features=self._features, reference=ReferenceFeatures.of(y)
        )
        scores = metric.judge(x)
        return {
            name: {"value": scores[name].value, "low": scores[name].low, "high": scores[name].high}
            for name in ("precision", "recall")
        }

    def _agreement(self, frame: pd.DataFrame, parts: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Attributes of each image that came true, and that were asked for, (N,) both."""
        seen = torch.cat(parts).cpu().numpy()
        wanted = np.full(seen.shape, np.nan)
        for index, name in enumerate(self._attributes):
            if name in frame.columns:
                wanted[:, index] = frame[name].astype("Float64").to_numpy(float, na_value=np.nan)
        known = ~np.isnan(wanted)
        return (known & (seen == (wanted > 0.5))).sum(1), known.sum(1)

    def _share(self, hits: np.ndarray, asked: np.ndarray) -> dict[str, float]:
        config = self._config
        low, high = ratio_interval(hits, asked, num_resamples=config.bootstrap_resamples, seed=config.seed)
        return {"value": float(hits.sum() / asked.sum()), "low": low, "high": high}

    def _drawn(self, rows: np.ndarray, count: int) -> np.ndarray:
        if len(rows) <= count:
            return rows
        return np.sort(np.random.default_rng(self._config.seed).choice(rows, count, replace=False))


def _kernel_distance(x: Tensor, y: Tensor) -> dict[str, float]:
    """The unbiased kernel distance, which compares between groups of different sizes."""
    value, error = kernel_estimate(x, y)
    return {"value": value, "low": value - Z95 * error, "high": value + Z95 * error}
