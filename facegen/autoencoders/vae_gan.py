"""A variational autoencoder between a square image and one latent vector, to be trained with a GAN loss.

Kingma & Welling 2014 (arXiv:1312.6114) with the adversarial training of Larsen et al. 2016
(arXiv:1512.09300, VAE-GAN), which is the task `adversarial_autoencoding`; its discriminator and its
class centres are the task's, not the autoencoder's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from facegen.config.kinds import KindConfig
from facegen.errors import UsageError
from facegen.nn.vector_autoencoder import VectorDecoder, VectorEncoder
from facegen.shapes import Vectors
from facegen.types import LatentMoments


class Config(KindConfig, frozen=True):
    kind: Literal["vae_gan"] = "vae_gan"
    image_size: int = Field(default=64, ge=4)
    """Side of the images in pixels."""
    latent_dim: int = Field(default=256, ge=1)
    """Length of the latent vector."""
    widths: tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...] = Field(
        default=(32, 64, 128, 256), min_length=1
    )
    """Channels per level, fine to coarse; the first is at half the image's size, each further one halves."""
    encoder_blocks: int = Field(default=0, ge=0)
    """Residual blocks per level beside the one that halves."""
    decoder_blocks: int = Field(default=1, ge=0)
    """The same of the decoder."""
    num_heads: int = Field(default=4, ge=1)
    """Heads of self-attention in the encoder."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Config:
        factor = 2 ** len(self.widths)
        if self.image_size % factor:
            raise ValueError(
                f"{len(self.widths)} widths halve the image as often: image_size must divide by {factor}"
            )
        if any(width % self.num_heads for width in self.widths):
            raise ValueError(f"every width must divide by num_heads {self.num_heads}")
        return self


class VaeGan(nn.Module):
    """`encode` square images in [-1, 1] to moments of vectors; `decode` the other way."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.image_size, self.latent_dim = config.image_size, config.latent_dim
        self.encoder = VectorEncoder(
            self.image_size, config.widths, config.encoder_blocks, config.num_heads, 2 * self.latent_dim
        )
        self.decoder = VectorDecoder(self.image_size, config.widths, config.decoder_blocks, self.latent_dim)

    def latent_shape(self, image_size: int) -> tuple[int, ...]:
        """`(D,)`.

        Raises:
            UsageError: images of another size than it was built for.
        """
        if image_size != self.image_size:
            raise UsageError(
                f"This autoencoder takes images of {self.image_size} pixels a side, not {image_size}.",
                hint=f"Prepare the data set with --size {self.image_size}, or train one with "
                f"--set autoencoder.image_size={image_size}.",
            )
        return (self.latent_dim,)

    def encode(self, images: Float[Tensor, "B 3 H H"]) -> LatentMoments:
        return LatentMoments.of_halves(self.encoder(images))

    def decode(self, latents: Vectors) -> Float[Tensor, "B 3 H H"]:
        return self.decoder(latents)


build = VaeGan
