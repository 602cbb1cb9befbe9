"""Many numbers per point to two: PCA, t-SNE and UMAP (optional).

Letters: N points, D numbers of each.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np

from facegen.errors import DataError, MissingModelError
from facegen.plotting.options import Method
from facegen.protocols import Progress

COMPONENTS_BEFORE = 50  # what t-SNE and UMAP are given, as usual (Kobak & Berens 2019)
EXACT_UP_TO_DIMENSIONS = 2048
TSNE_STEPS = 750  # 250 of them exaggerated
NEIGHBOURS_PER_PERPLEXITY = 3
UMAP_NEIGHBOURS = 15


def check_method(method: Method) -> None:
    """Refuse a method whose package is not installed.

    Raises:
        MissingModelError: says how to install it.
    """
    if method == "umap" and find_spec("umap") is None:
        raise MissingModelError(
            "--method umap needs the package 'umap-learn', which is not installed.",
            hint="Install it: pip install 'facegen[umap]'; or take another: --method tsne",
        )


def pca(points: np.ndarray, components: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (N, components) of `points` (N, D), and the share of the variance in each.

    Exact up to 2,048 numbers a point, randomised above (Halko et al. 2011, arXiv:0909.4061). At most as many
    components as there are points or numbers. The same on any number of cores.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    exact = points.shape[1] <= EXACT_UP_TO_DIMENSIONS
    model = PCA(
        min(components, *points.shape),
        svd_solver="covariance_eigh" if exact else "randomized",
        random_state=seed,
    )
    with threadpool_limits(1):  # threads add up in another order, which t-SNE after it does not forgive
        return model.fit_transform(points.astype(np.float64)), model.explained_variance_ratio_


def tsne(points: np.ndarray, perplexity: float, seed: int, progress: Progress) -> np.ndarray:
    """t-SNE (N, 2) of `points` (N, D), started from PCA; the same for a seed on any number of cores.

    van der Maaten & Hinton (2008), https://jmlr.org/papers/v9/vandermaaten08a.html; PCA and the rate of
    learning as Kobak & Berens (2019), doi:10.1038/s41467-019-13056-x.

    Raises:
        DataError: fewer points than the perplexity needs.
    """
    needed = int(NEIGHBOURS_PER_PERPLEXITY * perplexity) + 2
    if len(points) < needed:
        most = max(1, (len(points) - 2) // NEIGHBOURS_PER_PERPLEXITY)
        raise DataError(
            f"t-SNE of perplexity {perplexity:g} needs {needed} points or more; there are {len(points)}.",
            hint=f"Lower it: --perplexity {most}; or take another method: --method pca",
        )
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    model = TSNE(perplexity=perplexity, init="pca", max_iter=TSNE_STEPS, random_state=seed)
    with progress.stage("t-SNE"), threadpool_limits(1):  # threads add up in another order; t-SNE is chaotic
        return model.fit_transform(points).astype(np.float64)


def umap(points: np.ndarray, seed: int, progress: Progress) -> np.ndarray:
    """UMAP (N, 2) of `points` (N, D): McInnes et al. (2018), arXiv:1802.03426.

    Raises:
        MissingModelError: umap-learn is not installed.
        DataError: fewer points than neighbours.
    """
    check_method("umap")
    if len(points) <= UMAP_NEIGHBOURS + 1:
        raise DataError(
            f"UMAP needs {UMAP_NEIGHBOURS + 2} points or more; there are {len(points)}.",
            hint="Take another method: --method pca",
        )
    with progress.stage("UMAP"):
        model = import_module("umap").UMAP(n_neighbors=UMAP_NEIGHBOURS, random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(points), dtype=np.float64)
