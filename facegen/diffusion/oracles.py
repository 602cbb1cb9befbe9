"""Denoisers known in closed form: what a perfect network would answer, to hold samplers and losses against.

Letters: B batch, D dimensions, K components.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from facegen.diffusion.paths import Path
from facegen.shapes import Times
from facegen.types import Prediction


class MixtureDenoiser:
    """The exact `BoundDenoiser` of data from a mixture of Gaussians, in float64.

    `means` (K, D), `covariances` (K, D, D), `weights` (K,) that sum to 1. Of a state x_t, component k has the
    likelihood N(x_t; alpha mean, alpha^2 cov + sigma^2 I) and expects x0 = mean + alpha cov (alpha^2 cov +
    sigma^2 I)^-1 (x_t - alpha mean); all rows of a call must be at one timestep.
    """

    def __init__(
        self,
        path: Path,
        means: Float[Tensor, "K D"],
        covariances: Float[Tensor, "K D D"],
        weights: Float[Tensor, " K"],
    ) -> None:
        self.path = path
        self._means, self._covariances, self._weights = means.double(), covariances.double(), weights.double()

    def __call__(self, x_t: Float[Tensor, "B D"], timestep: Times) -> Prediction:
        alpha, sigma = (float(value[0]) for value in self.path.alpha_sigma(timestep.double()))
        x = x_t.double()
        marginal = alpha**2 * self._covariances + sigma**2 * torch.eye(x.shape[1], dtype=x.dtype)  # (K, D, D)
        off = x[:, None] - alpha * self._means  # (B, K, D)
        solved = torch.einsum("kde,bke->bkd", torch.inverse(marginal), off)  # (B, K, D)
        distance = (off * solved).sum(-1) + torch.logdet(marginal)  # (B, K), up to constants
        shares = torch.softmax(torch.log(self._weights) - 0.5 * distance, dim=1)
        expected = self._means + alpha * torch.einsum("kde,bke->bkd", self._covariances, solved)
        x0 = (shares.unsqueeze(-1) * expected).sum(1).to(x_t.dtype)
        return Prediction(x0=x0, eps=self.path.eps_of(x0, x_t, timestep))


class GaussianDenoiser(MixtureDenoiser):
    """The exact `BoundDenoiser` of data from one Gaussian: `mean` (D,), `covariance` (D, D)."""

    def __init__(self, path: Path, mean: Float[Tensor, " D"], covariance: Float[Tensor, "D D"]) -> None:
        super().__init__(path, mean[None], covariance[None], torch.ones(1))
