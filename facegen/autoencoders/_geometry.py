"""Shapes of latents that are maps: so many channels, each side divided by a factor."""

from __future__ import annotations

from facegen.errors import UsageError


def map_shape(latent_channels: int, downsampling: int, image_size: int) -> tuple[int, int, int]:
    """(C, h, w) for square images of `image_size` pixels.

    Raises:
        UsageError: the size does not divide by `downsampling`; names the nearest that do.
    """
    if image_size % downsampling:
        below = image_size // downsampling * downsampling
        above = below + downsampling
        nearest = f"{below} or {above}" if below else str(above)
        raise UsageError(
            f"Images of {image_size} pixels do not divide by this autoencoder's factor {downsampling}; "
            f"the nearest sizes are {nearest}.",
            hint=f"Prepare again: facegen prepare KIND SOURCE --size {below or above} --out NEW_FOLDER",
        )
    return latent_channels, image_size // downsampling, image_size // downsampling
