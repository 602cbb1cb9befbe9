"""CMMD: maximum mean discrepancy of CLIP embeddings (Jayasumana et al. 2024, arXiv:2401.09603)."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._intervals import Z95
from facegen.metrics._kernels import Kernel, discrepancy, influence_of, own_means, sums, variance_of

SIGMA = 10.0  # the authors', for unit embeddings of CLIP ViT-L/14 at 336 pixels
SCALE = 1000.0  # makes the numbers readable


class Config(KindConfig, frozen=True):
    kind: Literal["cmmd"] = "cmmd"


class ClipDiscrepancy(FeatureMetric):
    """`cmmd`: 1000 times the squared discrepancy under a Gaussian kernel.

    Its value is the authors' statistic, in which each image is also compared with itself. Its estimate leaves
    that out and is unbiased at any number of images.
    """

    why_so_many = "a kernel distance, whose interval needs more than a handful of images"
    depends_on_count = False
    needs_features = "clip-vit-l-14-336"  # the bandwidth means nothing elsewhere

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._reference = reference.features

    def values(self, features: Tensor) -> dict[str, float]:
        """The authors' statistic."""
        within_x = sums(KERNEL, features, features)[0].mean() / len(features)
        between = sums(KERNEL, features, self._reference)[0].mean() / len(self._reference)
        within_y = (self._own_means.mean() * (len(self._reference) - 1) + 1) / len(self._reference)
        return {"cmmd": SCALE * float(within_x + within_y - 2 * between)}

    def judge(self, features: Tensor) -> dict[str, Score]:
        estimate, of_images, of_reference = discrepancy(KERNEL, features, self._reference, self._own_means)
        estimate, error = SCALE * estimate, SCALE * variance_of(of_images, of_reference) ** 0.5
        return {
            "cmmd": Score(
                value=self.values(features)["cmmd"],
                better="lower",
                estimate=estimate,
                low=estimate - Z95 * error,
                high=estimate + Z95 * error,
                standard_error=error,
                interval_of="the distance between the distributions behind both sets",
                influence=influence_of(SCALE * of_images, SCALE * of_reference),
            )
        }

    @cached_property
    def _own_means(self) -> np.ndarray:
        return own_means(KERNEL, self._reference)


build = ClipDiscrepancy


def _gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 sigma^2)) for all pairs, float64 (N, M); a CMMD is a small difference of ones."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return np.exp(-squares / (2 * SIGMA**2))


KERNEL = Kernel(_gaussian, lambda x: np.ones(len(x)))
