"""Gaussians fitted to features, the Fréchet distance between two of them, and how sure it is, in float64.

Bias and standard error of the distance come from its expansion in the samples.

With S2 = R'R and R S1 R' = W L W', the distance is D = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (R S1 R')^(1/2).
S1 -> S1 + E changes it to first order by tr (I - A) E, A = R' W L^(-1/2) W' R the transport map, to second by

    1/2 sum_ij e_ij^2 / (sqrt(l_i l_j) (sqrt l_i + sqrt l_j)),    e = W' R E R' W.

So one image x, y = x - m1, z = W' R y, has the influence 2 (m1 - m2).y + |y|^2 - sum_i z_i^2 / sqrt l_i. Its
variance over n is the squared standard error (delta method), and n times the bias is
tr S1 + 1/2 sum_ij var(z_i z_j) / (...). The same holds for the second set with the roles exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegen.formats.influences import Influence
from facegen.metrics._intervals import Z95

CHUNK_SAMPLES = 2048  # in double precision at once
SAMPLES_PER_FEATURE = 4  # below, terms of third order count
# Share of the second-order variance taken off the influences', which hold it twice if evaluated at samples.
# All of it would be unbiased; half of it makes up for the variance being an estimate itself (measured).
TAKEN_OFF = 0.5
UNSURE = 0.2  # of the expansion's own error, how much of it may be left (measured up to 128 features)
WIDE_FEATURES = 512  # above, half of the images are looked at once instead of twice
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
    def of(features: Tensor) -> FeatureStatistics:
        """Fit mean and unbiased covariance to features (N, D), N at least 2.

        Raises:
            ValueError: fewer than 2 samples, or values that are not finite.
        """
        num_samples, num_features = features.shape
        if num_samples < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {num_samples}")
        if not all(bool(torch.isfinite(part).all()) for part in torch.split(features, CHUNK_SAMPLES)):
            raise ValueError("features hold values that are not finite")
        mean = _mean(features)
        if num_samples > num_features:
            covariance = torch.zeros(num_features, num_features, dtype=torch.float64)
            for part in torch.split(features, CHUNK_SAMPLES):  # a float64 copy of all features would be large
                covariance += squared(part - mean)
            root = square_root(covariance / (num_samples - 1))
        else:
            root = (features - mean) / (num_samples - 1) ** 0.5
        return FeatureStatistics(mean, root, num_samples)

    @property
    def num_features(self) -> int:
        return len(self.mean)


def _mean(features: Tensor) -> Tensor:
    """(D,), in float64 without a copy of all of them in it."""
    parts = torch.split(features, CHUNK_SAMPLES)
    return torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0) / len(features)


def squared(rows: Tensor) -> Tensor:
    """`rows.T @ rows` (D, D) of rows (N, D): numpy knows that this is symmetric, and does half of it."""
    array = rows.numpy()
    return torch.as_tensor(array.T @ array)


def times_root(rows: Tensor, root: Tensor) -> Tensor:
    """`rows @ root.T` (N, R) of rows (N, D) and a root (R, D), by half the products if it is a triangle."""
    import scipy.linalg.blas

    if root.shape[0] < root.shape[1] or bool(root.tril(-1).any()):
        return rows @ root.T
    blas: Any = scipy.linalg.blas
    product: np.ndarray = blas.dtrmm(1.0, root.numpy().T, rows.numpy().T, lower=1, trans_a=1)
    return torch.as_tensor(product.T)


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

    The last trace is the sum of the singular values of A B', for roots A (R, D) and B (S, D). At full rank
    these are the square roots of the eigenvalues of A (B'B) A', which `eigvalsh` finds several times faster
    than a singular value decomposition (and numpy's than torch's on a CPU).

    Raises:
        ValueError: different numbers of features.
    """
    if a.num_features != b.num_features:
        raise ValueError(f"features of different width: {a.num_features} and {b.num_features}")
    product = times_root(a.root, b.root).numpy()  # (R, S)
    if min(product.shape) < a.num_features:
        trace = float(np.linalg.svd(product, compute_uv=False).sum())
    else:
        trace = _trace_of_root(product @ product.T)
    shift = (a.mean - b.mean).square().sum()
    spread = a.root.square().sum() + b.root.square().sum()
    return max(0.0, float(shift + spread - 2 * trace))


def _trace_of_root(square: np.ndarray) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(square).clip(min=0)).sum())


def distances_growing(
    features: Tensor, order: Tensor, sizes: Sequence[int], reference: FeatureStatistics
) -> Iterator[float]:
    """Distances of the first `sizes` (ascending, over D each) of features (N, D) in an `order` (N,), each
    looked at once.

    Projected on the reference's root R they have the covariance R S R', whose eigenvalues are all that a
    distance needs: one product for all sizes, and neither a root nor a product for each.
    """
    origin = _mean(features)  # near every mean, so that nothing cancels
    total, spread = torch.zeros_like(origin), torch.zeros_like(origin)
    products = torch.zeros(len(reference.root), len(reference.root), dtype=torch.float64)
    done = 0
    for size in sizes:
        for rows in torch.split(order[done:size], CHUNK_SAMPLES):
            centred = features[rows] - origin
            total += centred.sum(0)
            spread += centred.square().sum(0)
            products += squared(times_root(centred, reference.root))
        done = size
        projected = reference.root @ total
        trace = _trace_of_root(((products - torch.outer(projected, projected) / size) / (size - 1)).numpy())
        own = (spread.sum() - total.square().sum() / size) / (size - 1)
        shift = (origin + total / size - reference.mean).square().sum()
        yield max(0.0, float(shift + own + reference.root.square().sum() - 2 * trace))


@dataclass(frozen=True)
class FrechetEstimate:
    """`value` is the plug-in distance, `estimate` it less its bias (0 where that is more than all of it),
    with a 95 % interval `low` to `high` that holds the estimate.

    With too few images per feature `unbiased` is False: `estimate` is the plug-in distance and the interval
    about that distance at this count.
    """

    value: float
    estimate: float
    standard_error: float
    low: float
    high: float
    unbiased: bool
    influence: Influence


def frechet_estimate(
    a: FeatureStatistics, features_a: Tensor, b: FeatureStatistics, features_b: Tensor
) -> FrechetEstimate:
    """The distance of two sets with what is known about the true one, in float64.

    `features_*` (N, D) may be a drawn part of what `a` or `b` counts: they say how features scatter. The
    expansion's own error, of the order 1/N^2, is measured on half of the images and taken off.
    """
    ample = all(s.num_samples >= SAMPLES_PER_FEATURE * s.num_features for s in (a, b))
    whole = _expand(a, features_a, b, features_b)
    if not ample:
        error, value = whole.variance**0.5, whole.value
        low, high = max(0.0, value - Z95 * error), value + Z95 * error
        return FrechetEstimate(value, value, error, low, high, False, _influence(whole, b, whole.variance))
    halves = [
        _expand(*_part(a, features_a, which), *_part(b, features_b, which))
        for which in range(2 if a.num_features <= WIDE_FEATURES else 1)
    ]
    estimate = whole.value - whole.bias
    at_half = sum(half.value - half.bias for half in halves) / len(halves)
    rest = (at_half - estimate) / 3  # c / (N/2)^2 - c / N^2 = 3 c / N^2
    variance = max(whole.variance - TAKEN_OFF * whole.floor, whole.floor) + (UNSURE * rest) ** 2
    estimate = max(0.0, estimate - rest)  # of equal sets every second one is below, which no distance is
    low, high = _interval(estimate, variance, whole.floor)
    influence = _influence(whole, b, variance)
    return FrechetEstimate(whole.value, estimate, variance**0.5, low, high, True, influence)


def _influence(whole: _Expansion, b: FeatureStatistics, variance: float) -> Influence:
    of_a, of_b = (one.float() for one in whole.influences)
    found = Influence(of_a, of_b, b.num_samples)
    return replace(found, rest=max(0.0, variance - found.variance))


def _part(statistics: FeatureStatistics, features: Tensor, which: int) -> tuple[FeatureStatistics, Tensor]:
    """A random half of the images; all of them where only a part of the features is here."""
    if len(features) < statistics.num_samples:
        return statistics, features
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    half = features[order.chunk(2)[which]]
    return FeatureStatistics.of(half), half


@dataclass(frozen=True)
class _Expansion:
    """Plug-in `value`, its second-order `bias`, the variance of the `influences` (N,) and (M,), and the
    second order by entries (`curved`) of the Gaussians `of`."""

    value: float
    bias: float
    variance: float
    influences: tuple[Tensor, Tensor]
    curved: Tensor
    of: tuple[FeatureStatistics, FeatureStatistics]

    @cached_property
    def floor(self) -> float:
        """The chi-square-like scatter of the second order, all that is left where both sets are the same."""
        scatter = sum(squared(one.root) / one.num_samples for one in self.of)
        curved = self.curved.square()
        return float(
            2 * torch.as_tensor(scatter).square().sum() + 4 * curved.sum() - 2 * curved.diagonal().sum()
        )


def _expand(a: FeatureStatistics, features_a: Tensor, b: FeatureStatistics, features_b: Tensor) -> _Expansion:
    left, roots, right = _coupled(times_root(a.root, b.root))
    shift = a.mean - b.mean
    spread = a.root.square().sum() + b.root.square().sum()
    value = max(0.0, float(shift.square().sum() + spread - 2 * roots.sum()))
    kept = roots.square() > roots.max() ** 2 * max(a.num_features, 8) * torch.finfo(roots.dtype).eps
    influence_a, curved_a = _one_side(features_a, a, shift, b.root.T @ right[:, kept], roots[kept])
    influence_b, curved_b = _one_side(features_b, b, -shift, a.root.T @ left[:, kept], roots[kept])
    curved = curved_a + curved_b
    trace = a.root.square().sum() / a.num_samples + b.root.square().sum() / b.num_samples
    variance = sum(float(one.var()) / of.num_samples for one, of in ((influence_a, a), (influence_b, b)))
    return _Expansion(
        value, float(trace + curved.sum()), variance, (influence_a, influence_b), curved, (a, b)
    )


def _coupled(product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values of `product` (R, S): (R, K), (K,), (S, K).

    At full rank by way of the eigenvectors of product' product, several times faster on a CPU.
    """
    if product.shape[0] != product.shape[1]:
        left, values, right = linalg.svd(product, full_matrices=False)
        return left, values, right.T
    found = np.linalg.eigh(squared(product).numpy())
    values = torch.as_tensor(found.eigenvalues).clamp(min=0).sqrt()
    right = torch.as_tensor(found.eigenvectors)
    return product @ right / values.clamp(min=torch.finfo(values.dtype).tiny), values, right


def _interval(estimate: float, variance: float, floor: float) -> tuple[float, float]:
    """All distances D that the estimate does not contradict, (estimate - D)^2 <= z^2 (floor + slope D).

    The scatter grows with the distance itself, from `floor` at none; an interval with one width for both
    ends would miss larger truths too often (Wilson's argument for shares).
    """
    slope = max(0.0, variance - floor) / max(estimate, floor**0.5, 1e-300)
    middle = estimate + Z95**2 * slope / 2
    width = max(0.0, Z95**2 * (slope * estimate + floor) + Z95**4 * slope**2 / 4) ** 0.5
    return max(0.0, middle - width), max(0.0, middle + width)


def _one_side(
    features: Tensor, statistics: FeatureStatistics, shift: Tensor, projection: Tensor, roots: Tensor
) -> tuple[Tensor, Tensor]:
    """Influences (N,) of the images of one set and its second-order bias (R, R) by entries; `projection`
    (D, R) gives z of a feature, in single precision, which the scatter of influences and z is known to."""
    influences: list[Tensor] = []
    fourth = torch.zeros(len(roots), len(roots), dtype=torch.float64)
    rough = projection.float()
    for part in torch.split(features, CHUNK_SAMPLES):
        centred = part.double() - statistics.mean
        squares = (centred.float() @ rough).square_()
        fourth += squared(squares)
        influences.append(2 * centred @ shift + centred.square().sum(1) - squares.double() @ (1 / roots))
    variances = fourth / len(features) - torch.diag(roots.square().square())
    weights = 1 / (torch.outer(roots, roots) * (roots[:, None] + roots[None, :]))
    return torch.cat(influences), 0.5 * variances * weights / statistics.num_samples
