"""A convolutional discriminator, its logistic losses and the gradient penalty that keeps it in check.

Letters: B batch, H/W pixels, h/w cells of the last map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from facegen.shapes import Images

LEAK = 0.2  # Radford et al. 2016


class Discriminator(nn.Module):
    """Images -> logits, positive for real; H = h * 2^len(widths).

    One 4x4 convolution of stride 2 per width (Radford et al. 2016, arXiv:1511.06434) and a logit for every
    cell (Isola et al. 2017, arXiv:1611.07004). No batch norm: an image's logits depend on nothing else,
    so micro-batches add up exactly.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for width in widths:
            layers += [nn.Conv2d(previous, width, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
            previous = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(previous, 1, 1)

    def forward(self, images: Images) -> Float[Tensor, "B h w"]:
        return self.head(self.layers(images)).squeeze(1)


def generator_loss(discriminator: nn.Module, fake: Images) -> Float[Tensor, ""]:
    """softplus(-D(fake)), a mean: small where `fake` passes for real (Goodfellow et al. 2014).

    The discriminator's weights are detached, so that gradients go to `fake` alone.
    """
    frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    return F.softplus(-functional_call(discriminator, frozen, (fake,)).float()).mean()


def discriminator_loss(
    discriminator: nn.Module, real: Images, fake: Images
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """softplus(-D(real)) + softplus(D(fake)) and the penalty |grad D(real)|^2, each a mean over the batch.

    `fake` is detached. The penalty (Mescheder et al. 2018, arXiv:1801.04406, R1) is per image the squared
    norm of the gradient of its mean logit; all in float32, in which such squares do not underflow.
    """
    with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
        real = real.float().detach().requires_grad_()
        on_real = discriminator(real)
        (slope,) = torch.autograd.grad(on_real.flatten(1).mean(1).sum(), real, create_graph=True)
        on_fake = discriminator(fake.float().detach())
    penalty = slope.square().flatten(1).sum(1).mean()
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean(), penalty
