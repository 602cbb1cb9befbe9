"""Feature spaces in which copies of training images are looked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.models.feature_networks import FeatureExtractor, load_extractor
from facegen.protocols import Progress

PIXELS = "pixels"
PIXEL_CELLS = 16
SMALLEST_NORM = 1.0  # of 768 values in 0..255; keeps the noise of an even surface from becoming a picture


def load_copy_features(
    name: str, weights: Path | None, device: torch.device, progress: Progress
) -> FeatureExtractor:
    """The space `name`: "pixels", which needs no network, or any that `load_extractor` knows.

    Raises:
        UsageError, MissingModelError, DataError: as `load_extractor`.
    """
    if name == PIXELS and weights is None:
        return FeatureExtractor(
            name=PIXELS,
            fingerprint=f"{PIXELS}:{PIXEL_CELLS}:channel-centred-unit",
            image_size=None,
            extract=low_pass_pixels,
            default_batch_size=256,
        )
    return load_extractor(name, weights, device, progress)


def mirrored(extractor: FeatureExtractor) -> FeatureExtractor:
    """The same space for the mirror images of what it is given."""
    return replace(
        extractor,
        fingerprint=f"{extractor.fingerprint}:mirrored",
        extract=lambda images: extractor.extract(images.flip(3)),
    )


def low_pass_pixels(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> unit vectors (B, 768): means of 16x16 cells, each channel less its mean.

    Recompression and resizing change fine detail, exposure and white balance a channel's mean and contrast;
    none of these is in it. What a picture shows, and where, is.
    """
    cells = F.adaptive_avg_pool2d(images.float(), PIXEL_CELLS)  # (B, 3, 16, 16)
    centred = (cells - cells.mean((2, 3), keepdim=True)).flatten(1)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(SMALLEST_NORM)
