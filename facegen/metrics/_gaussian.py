"""Gaussians fitted to features, and the Fréchet distance between two of them, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK_SAMPLES = 8192
linalg: Any = torch.linalg  # torch has no types for it


@dataclass(frozen=True)
class FeatureStatistics:
    """A Gaussian fitted to features: `mean` (D,), and `root` (R, D) with covariance `root.T @ root`.

    R is D, or less where the covariance has a lower rank (fewer samples than features). Keeping a root
    rather than the covariance spares the square root later and keeps small variances exact.
    """

    mean: Tensor
    root: Tensor
    num_samples: int

    @staticmethod
    def of_growing(features: Tensor, sizes: Sequence[int]) -> Iterator[FeatureStatistics]:
        """Of the first `sizes` (ascending, over D each) of features (N, D), each image looked at once."""
        width, done = features.shape[1], 0
        origin = features.mean(0, dtype=torch.float64)  # near every mean, so that nothing cancels
        total = torch.zeros(width, dtype=torch.float64)
        products = torch.zeros(width, width, dtype=torch.float64)
        for size in sizes:
            for part in torch.split(features[done:size], CHUNK_SAMPLES):
                centred = part - origin
                total += centred.sum(0)
                products += centred.T @ centred
            done = size
            covariance = (products - torch.outer(total, total) / size) / (size - 1)
            yield FeatureStatistics(origin + total / size, square_root(covariance), size)

    @staticmethod
    def of(features: Tensor) -> FeatureStatistics:
        """Fit mean and unbiased covariance to features (N, D), N at least 2.

        Raises:
            ValueError: fewer than 2 samples, or values that are not finite.
        """
        num_samples, num_features = features.shape
        if num_samples < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {num_samples}")
        if not bool(torch.isfinite(features).all()):
            raise ValueError("features hold values that are not finite")
        mean = features.mean(0, dtype=torch.float64)
        if num_samples > num_features:
            covariance = torch.zeros(num_features, num_features, dtype=torch.float64)
            for part in torch.split(features, CHUNK_SAMPLES):  # a float64 copy of all features would be large
                centred = part - mean
                covariance += centred.T @ centred
            root = square_root(covariance / (num_samples - 1))
        else:
            root = (features - mean) / (num_samples - 1) ** 0.5
        return FeatureStatistics(mean, root, num_samples)

    @property
    def num_features(self) -> int:
        return len(self.mean)


def square_root(covariance: Tensor) -> Tensor:
    """A matrix (R, D) with `root.T @ root == covariance` (D, D): Cholesky, or eigenvectors if singular."""
    lower, failed = linalg.cholesky_ex(covariance)
    if not int(failed):
        return lower.T
    values, vectors = linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return (vectors[:, kept] * values[kept].sqrt()).T


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Squared 2-Wasserstein distance of two Gaussians (Dowson & Landau 1982; FID of Heusel et al. 2017).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

    Raises:
        ValueError: different numbers of features.
    """
    if a.num_features != b.num_features:
        raise ValueError(f"features of different width: {a.num_features} and {b.num_features}")
    shift = (a.mean - b.mean).square().sum()
    spread = a.root.square().sum() + b.root.square().sum()
    return max(0.0, float(shift + spread - 2 * trace_of_square_root(a.root, b.root)))


def trace_of_square_root(root_a: Tensor, root_b: Tensor) -> float:
    """tr (A'A B'B)^(1/2) for roots A (R, D) and B (S, D): the sum of the singular values of A B'.

    At full rank these are the square roots of the eigenvalues of A (B'B) A', which `eigvalsh` finds
    several times faster than a singular value decomposition (and numpy's than torch's on a CPU).
    """
    product = (root_a @ root_b.T).numpy()  # (R, S)
    if min(product.shape) < root_a.shape[1]:
        return float(np.linalg.svd(product, compute_uv=False).sum())
    return float(np.sqrt(np.linalg.eigvalsh(product @ product.T).clip(min=0)).sum())
