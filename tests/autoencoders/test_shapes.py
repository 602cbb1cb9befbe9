"""A wrong shape is caught where an autoencoder is given it: one planted in every module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from facegen.autoencoders import compact, identity, tiny, vae_gan

X, LATENTS = torch.zeros(4, 3, 8, 8), torch.zeros(4, 4, 2, 2)


def built(kind: Any, **options: Any) -> Any:
    return kind.build(kind.Config(**options))


def of_diffusers() -> Any:
    small = {f"{part}_block_out_channels": (8, 8) for part in ("encoder", "decoder")}
    return built(tiny, **small, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))


def plain() -> Any:
    return built(compact, widths=(8,), encoder_blocks=0, decoder_blocks=0)  # whose blocks check too


def of_vectors() -> Any:
    made = built(vae_gan, image_size=8, latent_dim=3, widths=(8, 8))
    made.encoder, made.decoder = nn.Flatten(), nn.Identity()  # its own check too
    return made


PLANTED: dict[str, Callable[[], object]] = {
    "compact: one image without a batch": lambda: plain().encode(X[0]),
    "compact: one latent without a batch": lambda: plain().decode(LATENTS[0]),
    "identity: an image of one channel": lambda: built(identity, grey=True).encode(X[:, :1]),
    "identity: a latent without channels": lambda: built(identity, grey=True).decode(X[:, 0]),
    "diffusers: one image without a batch": lambda: of_diffusers().encode(X[0]),
    "diffusers: one latent without a batch": lambda: of_diffusers().decode(LATENTS[0]),
    "vae_gan: an image that is not square": lambda: of_vectors().encode(X.reshape(4, 3, 4, 16)),
    "vae_gan: a decoder that gives vectors": lambda: of_vectors().decode(torch.zeros(4, 3)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_shape_is_caught(name: str) -> None:
    with pytest.raises(TypeCheckError):
        PLANTED[name]()
