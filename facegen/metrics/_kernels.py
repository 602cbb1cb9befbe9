"""Squared maximum mean discrepancy of two sets of features under a kernel, from all pairs (Gretton et al.
2012, JMLR 13).

Letters: N, M images of the two sets, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegen.formats.influences import Influence

CHUNK = 1024


@dataclass(frozen=True)
class Kernel:
    """`between` gives the kernel of all pairs of rows (N, D) and (M, D) as (N, M), `itself` of each row with
    itself, (N,) float64."""

    between: Callable[[np.ndarray, np.ndarray], np.ndarray]
    itself: Callable[[np.ndarray], np.ndarray]


def discrepancy(
    kernel: Kernel, x: Tensor, y: Tensor, own_y: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """The unbiased distance of features (N, D) and (M, D), and the influence of each image on it, (N,) and
    (M,).

    With h(x) the mean of k(x, x') - k(x, y) over the other images the influence is 2 h (Hoeffding's
    projection; evaluated at the samples, which is on the safe side near zero). `own_y` are the `own_means`
    of y, where they are known.
    """
    own_x = own_means(kernel, x)
    own_y = own_means(kernel, y) if own_y is None else own_y
    of_x, of_y = sums(kernel, x, y)
    h_x, h_y = own_x - of_x / len(y), own_y - of_y / len(x)
    estimate = own_x.mean() + own_y.mean() - 2 * of_x.mean() / len(y)
    return float(estimate), 2 * h_x, 2 * h_y


def variance_of(*influences: np.ndarray) -> float:
    """Variance of an estimate by the influences (N,) of the images of each set."""
    return sum(float(one.var(ddof=1)) / len(one) for one in influences)


def influence_of(of_images: np.ndarray, of_reference: np.ndarray) -> Influence:
    """The same (N,) and (M,) as a report keeps them."""
    images, reference = (torch.as_tensor(one, dtype=torch.float32) for one in (of_images, of_reference))
    return Influence(images, reference, len(reference))


def own_means(kernel: Kernel, x: Tensor) -> np.ndarray:
    """Mean kernel (N,) of each feature with all the others."""
    return (sums(kernel, x, x)[0] - kernel.itself(x.numpy())) / (len(x) - 1)


def sums(kernel: Kernel, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the kernel over y (N,) and over x (M,), float64."""
    columns, over_x = y.numpy(), np.zeros(len(y))
    over_y: list[np.ndarray] = []
    for part in torch.split(x, CHUNK):
        values = kernel.between(part.numpy(), columns)
        over_y.append(values.sum(1, dtype=np.float64))
        over_x += values.sum(0, dtype=np.float64)
    return np.concatenate(over_y), over_x
