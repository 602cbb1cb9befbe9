"""Colours of images while evaluations look at them for something else, and of the real ones beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from facegen.metrics import NUM_COLOURS, Shift, colour_shifts, colours_of
from facegen.models.feature_cache import Viewer
from facegen.models.feature_networks import colours_alone
from facegen.models.real_features import RealImages, cacheable_part, real_features


class ColoursSeen:
    """The colours of the images that pass by."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def of(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The same uint8 images (B, 3, H, W), looked at as they come."""
        for images in parts:
            self._parts.append(colours_of(images.cpu()))
            yield images

    def beside(self, real: ColoursSeen | Tensor) -> dict[str, Shift]:
        """How they are shifted against those of real images, seen or (M, 6); see `colour_shifts`."""
        theirs = real._together if isinstance(real, ColoursSeen) else real
        return colour_shifts(self._together, theirs)

    @property
    def _together(self) -> Tensor:
        return torch.cat(self._parts) if self._parts else torch.empty(0, NUM_COLOURS)


def real_colours(real: RealImages, viewer: Viewer) -> Tensor:
    """Colours (N, 6) of real images, of a large set those of a drawn part, from the cache where they are."""
    return real_features(cacheable_part(real), replace(viewer, extractor=colours_alone()))
