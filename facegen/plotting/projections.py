"""Many numbers per point to two: PCA, t-SNE (openTSNE) and UMAP (optional).

Letters: N points, D numbers of each.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from facegen.errors import DataError, MissingModelError
from facegen.plotting.options import Method
from facegen.protocols import Progress

COMPONENTS_BEFORE = 50  # what t-SNE and UMAP are given, as usual (Kobak & Berens 2019)
EXACT_UP_TO_DIMENSIONS = 2048
EXACT_UP_TO_POINTS = 20_000
EARLY_STEPS, STEPS, EARLY_EXAGGERATION = 250, 500, 12.0
STEPS_PER_REPORT = 25
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

    van der Maaten & Hinton (2008), https://jmlr.org/papers/v9/vandermaaten08a.html; settings as Kobak &
    Berens (2019), doi:10.1038/s41467-019-13056-x.

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
    from openTSNE import TSNE

    with progress.stage("t-SNE", total=EARLY_STEPS + STEPS) as bar:

        def report(_: int, error: float, __: np.ndarray) -> None:
            bar.advance(STEPS_PER_REPORT, KL=f"{error:.2f}")

        settings: dict[str, Any] = {"perplexity": perplexity, "early_exaggeration": EARLY_EXAGGERATION}
        model = TSNE(
            **settings,  # typed there as what they are not
            initialization="pca",
            neighbors="exact" if len(points) <= EXACT_UP_TO_POINTS else "approx",
            negative_gradient_method="bh" if len(points) <= EXACT_UP_TO_POINTS else "fft",
            early_exaggeration_iter=EARLY_STEPS,
            n_iter=STEPS,
            n_jobs=1,  # threads add up in another order each time, and t-SNE is chaotic
            random_state=seed,
            callbacks=report,
            callbacks_every_iters=STEPS_PER_REPORT,
        )
        return np.array(model.fit(points))


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
