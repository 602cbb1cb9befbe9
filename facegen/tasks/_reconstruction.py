"""What the tasks that train an autoencoder on the images of a data set have in common.

Letters: B batch, N held-out images, *S latent shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facegen.config.kinds import load_kind
from facegen.draws import Draws
from facegen.errors import UsageError
from facegen.formats.images import to_uint8, to_unit
from facegen.nn.augmentation import mirrored
from facegen.placing import placed
from facegen.tasks._images import TrainingImages
from facegen.types import LatentMoments

VALIDATION_BATCH_IMAGES = 64
USEFUL_MARGIN_DB = 3.0  # over answering with the mean image; less is no reconstruction
Losses = dict[str, Tensor]


class Reconstruction:
    """The images that the recipe's autoencoder learns from and is judged on.

    Raises:
        UsageError: images of a size that the autoencoder does not take, or to be augmented.
        DataError: a split that is missing or empty.
    """

    def __init__(self, images: TrainingImages) -> None:
        if images.data.augmentation is not None:
            raise UsageError(
                "data.augmentation is for denoisers of pixels and classifiers; an autoencoder has data.flip "
                "alone.",
                hint="--set data.augmentation=null --set data.flip=true",
            )
        self._autoencoder = images.section("autoencoder")
        self.flip = images.data.flip
        self.train, self.validation = images.train, images.validation
        self.num_examples = min(len(self.train), images.data.limit or len(self.train))
        with torch.random.fork_rng(devices=[]):  # only its shape is asked for: the seed stays the trainer's
            self.latent_shape = self.build_autoencoder().latent_shape(images.size)

    def build_autoencoder(self) -> Any:
        """The autoencoder with fresh weights."""
        return load_kind("autoencoders", self._autoencoder.kind).build(self._autoencoder)

    def batch(self, indices: Tensor, draws: Draws) -> dict[str, Tensor]:
        """`images` uint8 (B, 3, H, W), mirrored at random where asked, and `noise` (B, *S)."""
        images = placed(self.train.images(indices, keep=True), draws.device)
        if self.flip:
            images = mirrored(images, draws)
        return {"images": images, "noise": draws.normal(*self.latent_shape)}

    def scores(
        self, count: int, module: Any, device: Any, judge: Callable[[Tensor], tuple[Losses, Tensor]]
    ) -> dict[str, Any]:
        """Means over the first `count` held-out images of the losses, and `psnr` in dB of their 8-bit
        reconstructions; `mean_image_psnr` is what no model at all gets, `verdict` a sentence on both.

        `judge` maps images (B, 3, H, W) in [-1, 1] to losses and reconstructions; `module` is in
        evaluation mode meanwhile.
        """
        count = min(count, len(self.validation))
        images = self.validation.images(torch.arange(count), keep=True)
        sums: dict[str, float] = {}
        psnrs = []
        was_training = module.training
        module.eval()
        for chunk in images.split(VALIDATION_BATCH_IMAGES):
            losses, y = judge(to_unit(chunk.to(device)))
            psnrs.append(peak_signal_to_noise(chunk, to_uint8(y).cpu()))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(chunk)
        module.train(was_training)
        psnr, floor = torch.cat(psnrs).mean().item(), mean_image_psnr(images)
        return {
            **{name: total / count for name, total in sums.items()},
            "psnr": psnr,
            "mean_image_psnr": floor,
            "verdict": reconstruction_verdict(psnr, floor, count),
        }


def kl_divergence(moments: LatentMoments) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, a float32 mean over images and latent entries."""
    mean, log_variance = moments.mean.float(), moments.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


def peak_signal_to_noise(a: Tensor, b: Tensor) -> Tensor:
    """PSNR in dB per image (B,) between uint8-valued images (B, 3, H, W); identical images give 99."""
    mse = (a.double() - b.double()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(255.0**2 / mse)).clamp(max=99.0)


def mean_image_psnr(images: Tensor) -> float:
    """PSNR in dB of answering each of uint8 (N, 3, H, W) with their mean: what no model at all gets."""
    mean_image = images.double().mean(0, keepdim=True).round().expand_as(images)
    return peak_signal_to_noise(images, mean_image).mean().item()


def reconstruction_verdict(psnr: float, floor: float, count: int) -> str:
    """A sentence on `psnr` dB over `count` images, which calls a model useless that hardly beats `floor`."""
    told = f"Reconstruction {psnr:.2f} dB PSNR on {count} held-out images (the mean image: {floor:.2f} dB)"
    return f"{told}." if psnr >= floor + USEFUL_MARGIN_DB else f"{told}: not a useful autoencoder yet."
