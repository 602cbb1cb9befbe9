"""Training an autoencoder: reconstruct the image, keep the latents near a unit Gaussian.

loss = l1 * |x - y| + mse * (x - y)^2 + kl * KL(q(z|x) || N(0, 1)), every term a mean over its elements
(Kingma & Welling 2014, arXiv:1312.6114, appendix B; weights as small as in Rombach et al. 2022).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.draws import Draws
from facegen.formats.images import to_unit
from facegen.protocols import Batch
from facegen.tasks._images import TrainingImages
from facegen.tasks._reconstruction import Reconstruction, kl_divergence

TRAINS_ON = "images"


class Config(KindConfig, frozen=True):
    kind: Literal["autoencoding"] = "autoencoding"
    l1_weight: float = Field(default=1.0, ge=0)
    """Of the mean absolute error."""
    mse_weight: float = Field(default=0.5, ge=0)
    """Of the mean squared error."""
    kl_weight: float = Field(default=1e-4, ge=0)
    """Of the divergence from a standard normal."""
    validation_images: int = Field(default=256, ge=1)
    """Held-out images that are measured."""


class AutoencodingTask:
    """Trains the recipe's autoencoder on the images of a prepared data set.

    Raises:
        UsageError: the images do not divide by the autoencoder's factor, or are to be augmented.
        DataError: a split that is missing or empty.
    """

    def __init__(self, config: Config, images: TrainingImages) -> None:
        self.config = config
        self._images = Reconstruction(images)
        self.num_examples = self._images.num_examples

    def build_module(self) -> nn.Module:
        """The autoencoder with fresh weights."""
        return self._images.build_autoencoder()

    def autoencoder_in(self, module: nn.Module) -> nn.Module:
        return module

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """`images` uint8 (B, 3, H, W), mirrored at random where asked, and `noise` (B, *S)."""
        return self._images.batch(indices, draws)

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`loss` and its parts `l1`, `mse`, `kl`, with the latents sampled from the posterior."""
        return self._losses(module, to_unit(batch["images"]), batch["noise"])[0]

    @torch.inference_mode()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """Held-out `psnr` beside the mean image's, and the losses; the posterior's mean is the latent."""
        count = self.config.validation_images
        return self._images.scores(count, module, device, lambda x: self._losses(module, x, noise=None))

    @torch.no_grad()
    def losses_by_image(self, module: nn.Module, device: Any) -> Tensor:
        """Of each held-out image what "loss" of `validate` is the mean of, float32 (N,)."""
        count = min(self.config.validation_images, len(self._images.validation))
        images = self._images.validation.images(torch.arange(count), keep=True)
        each = (to_unit(image[None].to(device)) for image in images)
        return torch.stack([self._losses(module, x, noise=None)[0]["loss"].float().cpu() for x in each])

    def _losses(self, module: Any, x: Tensor, noise: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        moments = module.encode(x)
        y = module.decode(moments.mean if noise is None else moments.sample(noise))
        error = y.float() - x
        l1, mse, kl = error.abs().mean(), error.square().mean(), kl_divergence(moments)
        config = self.config
        loss = config.l1_weight * l1 + config.mse_weight * mse + config.kl_weight * kl
        return {"loss": loss, "l1": l1, "mse": mse, "kl": kl}, y


build = AutoencodingTask
