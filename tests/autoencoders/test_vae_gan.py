"""The vae_gan autoencoder: a vector for an image of one size, and refusals in words."""

from __future__ import annotations

import pytest
import torch

from facegen.autoencoders.vae_gan import Config, VaeGan, build
from facegen.config.kinds import kind_config
from facegen.errors import UsageError

TINY = {"kind": "vae_gan", "latent_dim": 6, "widths": [8, 8], "num_heads": 2, "decoder_blocks": 0}


def test_the_default_makes_256_numbers_of_a_face_of_64_pixels() -> None:
    model = build(Config())
    assert model.latent_shape(64) == (256,)
    assert 3e6 < sum(parameter.numel() for parameter in model.parameters()) < 8e6


@pytest.mark.parametrize("size", [4, 20, 36])
def test_any_size_that_can_be_halved_often_enough_will_do(size: int) -> None:
    model: VaeGan = build(kind_config("autoencoders", {**TINY, "image_size": size}))
    images = torch.zeros(2, 3, size, size)
    assert model.encode(images).mean.shape == (2, 6)
    assert model.decode(torch.zeros(2, 6)).shape == images.shape


def test_images_of_another_size_are_refused_with_the_remedy() -> None:
    model: VaeGan = build(kind_config("autoencoders", {**TINY, "image_size": 16}))
    with pytest.raises(UsageError, match=r"16 pixels a side, not 32[\s\S]*autoencoder.image_size=32"):
        model.latent_shape(32)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_size": 18}, "image_size must divide by 4"),
        ({"widths": [8, 24], "num_heads": 3}, "divide by num_heads 3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(wrong: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        kind_config("autoencoders", {**TINY, **wrong})


def test_the_encoder_attends_at_eight_cells_and_below() -> None:
    model: VaeGan = build(kind_config("autoencoders", {**TINY, "image_size": 32, "widths": [8, 8, 8]}))
    attending = [type(layer).__name__ for layer in model.encoder.layers]
    assert attending.count("SpatialAttention") == 2  # maps of 16, 8 and 4 cells a side
    assert attending.index("SpatialAttention") > attending.index("ResidualDown")
