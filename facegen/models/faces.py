"""Drawn faces that show themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from facegen.formats.images import image_grid, pil_to_png, to_pil

CELL_PIXELS = 128  # smaller faces are enlarged by a whole number up to this


@dataclass(frozen=True)
class Faces:
    """Images, uint8 (N, 3, H, W) on the CPU, with a caption each; in a notebook they show as their grid."""

    images: Tensor
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Image.Image:
        return to_pil(self.images[number])

    def __iter__(self) -> Iterator[Image.Image]:
        return (to_pil(image) for image in self.images)

    def grid(self, columns: int | None = None) -> Image.Image:
        """All of them in one picture, as square as may be, with their captions."""
        columns = columns or max(1, round(len(self) ** 0.5))
        scale = max(1, CELL_PIXELS // self.images.shape[-1])
        return image_grid(self.images, columns, self.captions, scale=scale)

    def _repr_png_(self) -> bytes:
        return pil_to_png(self.grid())
