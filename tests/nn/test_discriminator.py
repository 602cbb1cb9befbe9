"""The discriminator's losses: who gets which gradient, and a penalty with a known value."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from facegen.nn.discriminator import Discriminator, discriminator_loss, generator_loss


class Linear(nn.Module):
    """Logits (B, 1, 2): the same for both cells, `weight` times the mean of the image plus `bias`."""

    def __init__(self, weight: float, bias: float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.tensor(bias))

    def forward(self, images: Tensor) -> Tensor:
        logit = self.weight * images.mean(dim=(1, 2, 3)) + self.bias
        return logit.view(-1, 1, 1).expand(-1, 1, 2)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_it_has_a_strided_convolution_per_width_and_a_logit_per_cell(images: Tensor) -> None:
    model = Discriminator((8, 8, 16, 16))
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.layers) == 4
    assert model(images).shape == (3, 1, 1)
    assert model(torch.zeros(2, 3, 64, 48)).shape == (2, 4, 3)


def test_an_images_logits_do_not_depend_on_its_neighbours(images: Tensor) -> None:
    model = Discriminator((8, 8))
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_the_losses_are_the_logistic_ones() -> None:
    ones = torch.ones(2, 3, 4, 4)
    model = Linear(2.0, 0.5)
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    assert generator_loss(model, ones).item() == pytest.approx(softplus(-2.5))
    loss, _ = discriminator_loss(model, real=ones, fake=-ones)
    assert loss.item() == pytest.approx(softplus(-2.5) + softplus(-1.5))


def test_the_penalty_is_the_squared_slope_on_real_images(images: Tensor) -> None:
    loss, penalty = discriminator_loss(Linear(6.0), images, images)
    assert penalty.item() == pytest.approx(36.0 / (3 * 16 * 16))  # d mean / d pixel = 1 / 768, 768 of them
    assert penalty.dtype == loss.dtype == torch.float32


def test_the_penalty_lowers_the_slope() -> None:
    model = Linear(6.0)
    discriminator_loss(model, torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))[1].backward()
    assert model.weight.grad is not None
    assert model.weight.grad.item() == pytest.approx(2 * 6.0 / 48)


def test_the_generators_loss_leaves_the_discriminator_alone(images: Tensor) -> None:
    model, fake = Discriminator((8, 8)), images.clone().requires_grad_()
    generator_loss(model, fake).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_discriminators_loss_leaves_the_generator_alone(images: Tensor) -> None:
    model, fake = Discriminator((8, 8)), images.clone().requires_grad_()
    loss, penalty = discriminator_loss(model, images, fake)
    (loss + penalty).backward()
    assert fake.grad is None
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_under_autocast_the_penalty_is_computed_in_float32(images: Tensor) -> None:
    model = Discriminator((8, 8))
    plain = discriminator_loss(model, images, images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = discriminator_loss(model, images, images.bfloat16())
    torch.testing.assert_close(mixed[1], plain[1])
