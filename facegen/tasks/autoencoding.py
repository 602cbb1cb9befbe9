"""Training an autoencoder: reconstruct the image, keep the latents near a unit Gaussian.

loss = l1 * |x - y| + mse * (x - y)^2 + kl * KL(q(z|x) || N(0, 1)), every term a mean over its elements
(Kingma & Welling 2014, arXiv:1312.6114, appendix B; weights as small as in Rombach et al. 2022).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from facegen.config.kinds import KindConfig, load_kind
from facegen.config.recipe import DataConfig
from facegen.formats.dataset import Dataset
from facegen.formats.images import to_uint8, to_unit
from facegen.protocols import Batch
from facegen.tasks._reconstruction import (
    VALIDATION_BATCH_IMAGES,
    mean_image_psnr,
    peak_signal_to_noise,
    reconstruction_verdict,
)


class Config(KindConfig):
    kind: Literal["autoencoding"] = "autoencoding"
    l1_weight: float = Field(1.0, ge=0)
    mse_weight: float = Field(0.5, ge=0)
    kl_weight: float = Field(1e-4, ge=0)
    validation_images: int = Field(256, ge=1)


class AutoencodingTask:
    """Trains the autoencoder of `autoencoder_config` on the images of a prepared data set.

    Raises:
        UsageError: the images do not divide by the autoencoder's factor.
        DataError: a split that is missing or empty.
    """

    def __init__(self, config: Config, dataset: Dataset, autoencoder_config: KindConfig, data: DataConfig):
        self.config = config
        self.autoencoder_config = autoencoder_config
        self.flip = data.flip
        self.train = dataset.split(data.train_split)
        self.validation = dataset.split(data.validation_split)
        self.num_examples = min(len(self.train), data.limit or len(self.train))
        with torch.random.fork_rng(devices=[]):  # only its shape is asked for: the seed stays the trainer's
            probe: Any = self.build_module()
        self.latent_shape = probe.latent_shape(dataset.manifest.image_size)

    def build_module(self) -> nn.Module:
        """The autoencoder with fresh weights."""
        return load_kind("autoencoders", self.autoencoder_config.kind).build(self.autoencoder_config)

    def batch(self, indices: Tensor, generator: Generator) -> Batch:
        """`images` uint8 (B, 3, H, W), mirrored at random where asked, and `noise` (B, *S)."""
        images = self.train.images(indices)
        if self.flip:
            mirrored = torch.rand(len(indices), generator=generator) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
        return {
            "images": images,
            "noise": torch.randn(len(indices), *self.latent_shape, generator=generator),
        }

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`loss` and its parts `l1`, `mse`, `kl`, with the latents sampled from the posterior."""
        return self._losses(module, to_unit(batch["images"]), batch["noise"])[0]

    @torch.inference_mode()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """`psnr` in dB (mean over held-out images of the 8-bit reconstruction) and the mean `loss`,
        both with the posterior's mean as the latent; `mean_image_psnr` is what no model at all gets."""
        count = min(self.config.validation_images, len(self.validation))
        images = self.validation.images(torch.arange(count))
        sums: dict[str, float] = {}
        psnrs = []
        was_training = module.training
        module.eval()
        for chunk in images.split(VALIDATION_BATCH_IMAGES):
            losses, y = self._losses(module, to_unit(chunk.to(device)), noise=None)
            psnrs.append(peak_signal_to_noise(chunk, to_uint8(y).cpu()))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(chunk)
        module.train(was_training)
        psnr = torch.cat(psnrs).mean().item()
        floor = mean_image_psnr(images)
        means = {name: total / count for name, total in sums.items()}
        return {
            **means,
            "psnr": psnr,
            "mean_image_psnr": floor,
            "verdict": reconstruction_verdict(psnr, floor, count),
        }

    def _losses(self, module: Any, x: Tensor, noise: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        moments = module.encode(x)
        y = module.decode(moments.mean if noise is None else moments.sample(noise))
        mean, log_variance = moments.mean.float(), moments.log_variance.float()
        error = y.float() - x
        l1 = error.abs().mean()
        mse = error.square().mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        config = self.config
        loss = config.l1_weight * l1 + config.mse_weight * mse + config.kl_weight * kl
        return {"loss": loss, "l1": l1, "mse": mse, "kl": kl}, y


def build(
    config: Config, *, dataset: Dataset, autoencoder_config: KindConfig, data: DataConfig
) -> AutoencodingTask:
    """The task of training the autoencoder that `autoencoder_config` describes on `dataset`."""
    return AutoencodingTask(config, dataset, autoencoder_config, data)
