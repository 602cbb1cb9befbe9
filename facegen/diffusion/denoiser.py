"""What a network's output means: the clean sample and the noise in it, and how it is trained to tell them.

    predicts   output (target)                x0                                  eps
    eps        eps                            (x_t - sigma eps) / alpha           output
    x0         x0                             output                              (x_t - alpha x0) / sigma
    v          alpha eps - sigma x0           (alpha x_t - sigma v) / q           (sigma x_t + alpha v) / q
    flow       eps - x0                       (x_t - sigma u) / p                 (x_t + alpha u) / p
    edm        (alpha s eps - sigma x0 / s)   (alpha s^2 x_t - s sigma F) / e     (sigma x_t + s alpha F) / e
               / sqrt(e)                      with F = sqrt(e) output

q = alpha^2 + sigma^2 and p = alpha + sigma, either 1 on the path it was made for; e = alpha^2 s^2 + sigma^2
with the data's standard deviation s. v: Salimans and Ho 2022 (arXiv:2202.00512). flow: Liu et al.
2022. edm: the preconditioning of Karras et al. 2022 (arXiv:2206.00364, table 1), the network seeing
x_t / sqrt(e); its output has the sign of v, theirs the opposite one. Shapes: x (B, *S), timestep (B,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from facegen.diffusion.paths import Path
from facegen.diffusion.weighting import Predicts, TimeDensity, X0Weight, uniform
from facegen.protocols import Network
from facegen.shapes import States, Times
from facegen.types import UNCONDITIONAL, Conditioning, Prediction


@runtime_checkable
class BoundDenoiser(Protocol):
    """A denoiser with its condition and guidance bound, as samplers call it."""

    @property
    def path(self) -> Path: ...

    def __call__(self, x_t: States, timestep: Times) -> Prediction:
        """Estimates of x0 and eps (B, *S) at states (B, *S) and timesteps (B,)."""
        ...


@dataclass(frozen=True)
class Objective:
    """What a network is asked for on a `path`, at which noise levels, and how much its errors count.

    `weight` None counts errors of the output as they are. `data_std` is the s of `edm`.
    """

    path: Path
    predicts: Predicts = "v"
    weight: X0Weight | None = None
    times: TimeDensity = uniform
    data_std: float = 1.0

    def draw_timesteps(self, count: int, generator: Generator) -> Times:
        """Draw training timesteps (count,) float32: whole numbers on a discrete path."""
        return self.timesteps(torch.rand(count, generator=generator, device=generator.device))

    def timesteps(self, chance: Times) -> Times:
        """Return the training timesteps (B,) that uniform numbers (B,) in [0, 1) come to."""
        return self.path.timesteps(self.times(chance))

    def network_input(self, x_t: States, timestep: Times) -> States:
        """What the network sees of `x_t` (B, *S): the state itself, for edm scaled to unit variance."""
        if self.predicts != "edm":
            return x_t
        return x_t / self._edm_variance(*self.path.columns(timestep, x_t)).sqrt()

    def target(self, x0: States, noise: States, timestep: Times) -> States:
        """Return what the network should answer (B, *S) for `path.add_noise(x0, noise, timestep)`."""
        if self.predicts == "eps":
            return noise
        if self.predicts == "x0":
            return x0
        if self.predicts == "flow":
            return noise - x0
        alpha, sigma = self.path.columns(timestep, x0)
        if self.predicts == "v":
            return alpha * noise - sigma * x0
        target = alpha * self.data_std * noise - sigma * x0 / self.data_std
        return target / self._edm_variance(alpha, sigma).sqrt()

    def prediction(self, output: States, x_t: States, timestep: Times) -> Prediction:
        """Read a network's `output` (B, *S) at `x_t` as estimates of x0 and eps."""
        alpha, sigma = self.path.columns(timestep, x_t)
        if self.predicts == "eps":
            return Prediction(x0=(x_t - sigma * output) / alpha, eps=output)
        if self.predicts == "x0":
            return Prediction(x0=output, eps=(x_t - alpha * output) / sigma)
        if self.predicts == "flow":
            total = self.path.total(alpha, sigma)
            return Prediction(x0=(x_t - sigma * output) / total, eps=(x_t + alpha * output) / total)
        if self.predicts == "v":
            squares = self.path.squares(alpha, sigma)
            return Prediction(
                x0=(alpha * x_t - sigma * output) / squares, eps=(sigma * x_t + alpha * output) / squares
            )
        std, variance = self.data_std, self._edm_variance(alpha, sigma)
        scaled = variance.sqrt() * output
        return Prediction(
            x0=(alpha * std**2 * x_t - std * sigma * scaled) / variance,
            eps=(sigma * x_t + std * alpha * scaled) / variance,
        )

    def loss_weight(self, timestep: Times) -> Times:
        """Return the weight (B,) float32 of each sample's squared error in the output.

        An error e in the output is one of (sigma / alpha) e in x0 for eps, e for x0, sigma e / squares for v,
        sigma e / total for flow and s sigma e / sqrt(e) for edm: the square of that carries `weight` over.
        """
        alpha, sigma = self.path.alpha_sigma(timestep.float())
        if self.weight is None:
            return torch.ones_like(alpha)
        weight = self.weight(alpha, sigma)
        if self.predicts == "eps":
            return weight / alpha**2
        if self.predicts == "x0":
            return weight / sigma**2
        if self.predicts == "flow":
            return weight / self.path.total(alpha, sigma) ** 2
        if self.predicts == "v":
            return weight / self.path.squares(alpha, sigma) ** 2
        return weight * self.data_std**2 / self._edm_variance(alpha, sigma)

    def _edm_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (alpha * self.data_std) ** 2 + sigma**2


class Denoiser(nn.Module):
    """A network that knows what its output means: called on a state, it gives estimates of x0 and eps.

        model = Denoiser(network, Flow(), predicts="v")
        loss = model.loss(x0, model.objective.draw_timesteps(len(x0), generator), condition)
        prediction = model(x_t, timestep, condition)

    `network` is called as network(x_t (B, *S), timestep (B,), condition) and answers (B, *S).
    """

    def __init__(
        self,
        network: Network,
        path: Path,
        predicts: Predicts = "v",
        weight: X0Weight | None = None,
        times: TimeDensity = uniform,
        data_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.objective = Objective(path, predicts, weight, times, data_std)

    @staticmethod
    def of(network: Network, objective: Objective) -> Denoiser:
        """The denoiser of a network that has been trained for `objective`."""
        told = objective
        return Denoiser(network, told.path, told.predicts, told.weight, told.times, told.data_std)

    @property
    def path(self) -> Path:
        """The path its states are on."""
        return self.objective.path

    def output(self, x_t: States, timestep: Times, condition: Conditioning = UNCONDITIONAL) -> States:
        """Return the network's own answer (B, *S)."""
        return self.network(self.objective.network_input(x_t, timestep), timestep, condition)

    def forward(self, x_t: States, timestep: Times, condition: Conditioning = UNCONDITIONAL) -> Prediction:
        return self.objective.prediction(self.output(x_t, timestep, condition), x_t, timestep)

    def squared_error(
        self, x0: States, noise: States, timestep: Times, condition: Conditioning = UNCONDITIONAL
    ) -> Times:
        """Return the mean square (B,) float32 of output minus target of each sample, unweighted."""
        x_t = self.path.add_noise(x0, noise, timestep)
        output = self.output(x_t, timestep, condition)
        difference = output.to(x0.dtype) - self.objective.target(x0, noise, timestep)
        return difference.square().flatten(1).mean(1)

    def loss(
        self,
        x0: States,
        timestep: Times,
        condition: Conditioning = UNCONDITIONAL,
        noise: States | None = None,
    ) -> Tensor:
        """Return the weighted mean squared error, a scalar; noise is drawn where none is given."""
        noise = torch.randn_like(x0) if noise is None else noise
        weight = self.objective.loss_weight(timestep)
        return (self.squared_error(x0, noise, timestep, condition) * weight).mean()
