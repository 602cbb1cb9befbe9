"""Scaling of latents to what a denoiser likes: measured on the data, or the autoencoder's own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from facegen.autoencoders import LoadedAutoencoder
from facegen.errors import UsageError
from facegen.types import LatentScaling


@dataclass(frozen=True)
class Sums:
    """Per channel, over `count` values: sums of the mean, of its square and of the variance, in float64."""

    count: int
    mean: list[float]
    mean_square: list[float]
    variance: list[float]

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> Sums:
        """From `mean` and `log_variance` (N, C, h, w) as they are stored."""
        channels = tensors["mean"].shape[1]
        sums: list[list[float]] = [[], [], []]
        for channel in range(channels):  # one at a time: float64 copies of a whole shard would be large
            mean = tensors["mean"][:, channel].double()
            variance = tensors["log_variance"][:, channel].double().exp()
            for total, values in zip(sums, (mean, mean.square(), variance), strict=True):
                total.append(values.sum().item())
        return Sums(tensors["mean"].numel() // channels, *sums)


def measured_scaling(parts: list[Sums]) -> LatentScaling:
    """Per-channel shift and scale to zero mean and unit variance of *samples* from the posterior.

    The variance of a sample is that of the means plus the mean of the variances (law of total variance).
    """
    count = sum(part.count for part in parts)
    shift, scale = [], []
    for channel in range(len(parts[0].mean)):
        mean = sum(part.mean[channel] for part in parts) / count
        second = sum(part.mean_square[channel] + part.variance[channel] for part in parts) / count
        variance = second - mean**2
        shift.append(mean)
        scale.append(variance**-0.5 if variance > 0 else 1.0)
    return LatentScaling(tuple(shift), tuple(scale))


def model_scaling(loaded: LoadedAutoencoder) -> LatentScaling:
    """The `scaling_factor` and `shift_factor` of a diffusers autoencoder, the same for every channel.

    Stable Diffusion 1.5's is 0.18215, one over the standard deviation of its latents over all channels
    (Rombach et al. 2022, appendix G); a configuration that does not name one means diffusers' default,
    which is this.

    Raises:
        UsageError: the autoencoder was trained by facegen or is the identity, and has none.
    """
    if loaded.config is not None:
        raise UsageError(
            f"The autoencoder '{loaded.source}' ({loaded.kind}) has no scaling factor of its own; diffusers' "
            "published ones do.",
            hint="Use --scaling measured, the default.",
        )
    config, channels = loaded.module.model.config, loaded.module.latent_channels
    shift = float(config.shift_factor or 0.0)
    return LatentScaling((shift,) * channels, (float(config.scaling_factor),) * channels)
