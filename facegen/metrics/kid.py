"""Kernel distance between features of generated and of real images (KID; Bińkowski et al. 2018)."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._intervals import Z95
from facegen.metrics._kernels import Kernel, discrepancy, influence_of, own_means, variance_of

MAX_IMAGES = 5_000  # of either set: kernels of all pairs
SEED = 2020  # torch-fidelity's
OFFSET = 1  # of the published kernel (x.y / D + 1)^3


class Config(KindConfig, frozen=True):
    """`subsets` of `subset_size` images (fewer where there are not as many) are drawn; the defaults are
    torch-fidelity's."""

    kind: Literal["kid"] = "kid"
    subsets: int = Field(default=100, ge=1)
    subset_size: int = Field(default=1000, ge=2)


class KernelDistance(FeatureMetric):
    """`kid`: squared maximum mean discrepancy under a cubic kernel, unbiased at any number of images.

    Its value is the mean over random subsets, as published, with their standard deviation as `spread`. Its
    estimate is the same quantity from all pairs of images at once, which scatters less.
    """

    why_so_many = "a kernel distance, whose interval needs more than a handful of images"
    depends_on_count = False

    def __init__(self, config: Config, *, reference: ReferenceFeatures) -> None:
        self._config, self._reference = config, reference.features

    def values(self, features: Tensor) -> dict[str, float]:
        """From all pairs, which is the same quantity as the mean over subsets, sooner and less scattered."""
        return {"kid": kernel_estimate(_part(features), _part(self._reference), self._own_means)[0]}

    def judge(self, features: Tensor) -> dict[str, Score]:
        subsets = self._subsets(features)
        ours, theirs = _part(features), _part(self._reference)
        estimate, of_images, of_reference = discrepancy(KERNEL, ours, theirs, self._own_means)
        error = variance_of(of_images, of_reference) ** 0.5
        return {
            "kid": Score(
                value=float(subsets.mean()),
                better="lower",
                estimate=estimate,
                low=estimate - Z95 * error,
                high=estimate + Z95 * error,
                standard_error=error,
                interval_of="the distance between the distributions behind both sets",
                spread=float(subsets.std()),
                influence=influence_of(of_images, of_reference),
            )
        }

    def settings(self, num_samples: int) -> dict[str, Any]:
        return {"kid_subsets": self._config.subsets, "kid_subset_size": self._size(num_samples)}

    def remarks(self, num_samples: int, num_features: int) -> list[str]:
        size, asked = self._size(num_samples), self._config.subset_size
        if size == asked:
            return []
        return [f"KID: subsets of {size:,} images, as there are not {asked:,} on both sides."]

    @cached_property
    def _own_means(self) -> np.ndarray:
        return own_means(KERNEL, _part(self._reference))

    def _size(self, num_samples: int) -> int:
        return min(self._config.subset_size, num_samples, len(self._reference))

    def _subsets(self, features: Tensor) -> np.ndarray:
        """Distances of random subsets (subsets,), drawn as torch-fidelity draws them."""
        config, size = self._config, self._size(len(features))
        ours, theirs = features.numpy(), self._reference.numpy()
        generator = np.random.RandomState(SEED)
        found = np.zeros(config.subsets)
        for index in range(config.subsets):
            x = ours[generator.choice(len(ours), size, replace=False)]
            y = theirs[generator.choice(len(theirs), size, replace=False)]
            within = _off_diagonal_sum(_kernel(x, x)) + _off_diagonal_sum(_kernel(y, y))
            found[index] = within / (size * (size - 1)) - 2 * _kernel(x, y).sum(0).sum() / (size * size)
        return found


build = KernelDistance


def kernel_estimate(x: Tensor, y: Tensor, own_y: np.ndarray | None = None) -> tuple[float, float]:
    """The unbiased distance of features (N, D) and (M, D) from all pairs, and its standard error; `own_y` are
    the mean kernels of y with the others, where they are known."""
    estimate, *influences = discrepancy(KERNEL, x, y, own_y)
    return estimate, variance_of(*influences) ** 0.5


def _part(features: Tensor) -> Tensor:
    return features[torch.linspace(0, len(features) - 1, min(len(features), MAX_IMAGES)).round().long()]


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3 for all pairs, float32 (N, M)."""
    return (x @ y.T * (1 / x.shape[1]) + OFFSET) ** 3


KERNEL = Kernel(_kernel, lambda x: (np.square(x, dtype=np.float64).mean(1) + OFFSET) ** 3)


def _off_diagonal_sum(kernel: np.ndarray) -> np.float32:
    """In float32 and torch-fidelity's order: a KID is a small difference, and shows the rounding at 1e-5."""
    return (kernel.sum(1) - np.diagonal(kernel)).sum()
