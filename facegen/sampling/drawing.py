"""Drawing what a plan asks for, and the pictures made of many images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from facegen.config.recipe import SamplingConfig
from facegen.models.faces import Faces
from facegen.models.generator import FaceGenerator
from facegen.models.noise import Seed
from facegen.protocols import Progress
from facegen.sampling.plan import Plan, Strip
from facegen.types import Blend


@dataclass(frozen=True)
class Artist:
    """Draws with one model and one way of sampling; `negative` is one row (1, ...) or None."""

    generator: FaceGenerator
    settings: SamplingConfig
    negative: Tensor | None = None
    batch_size: int | None = None

    def draw(
        self, inputs: Tensor | Blend, seeds: Sequence[Seed], title: str, progress: Progress
    ) -> Iterator[tuple[int, Tensor]]:
        """Number of the first and uint8 (B, 3, H, W), batch by batch."""
        size = self.batch_size or self.generator.default_batch_size
        num_batches = math.ceil(len(inputs) / size)
        with progress.stage(title, total=num_batches * self.settings.steps) as bar:
            for rows, step in self.generator.walks(inputs, seeds, self.settings, self.negative, size):
                bar.advance()
                if step.is_last:
                    yield rows.start, self.generator.decode(step.x0)

    def draw_all(
        self, inputs: Tensor | Blend, seeds: Sequence[Seed], title: str, progress: Progress
    ) -> Tensor:
        """All images in one, uint8 (N, 3, H, W)."""
        return torch.cat([images for _, images in self.draw(inputs, seeds, title, progress)])


def shown_images(plan: Plan) -> set[int]:
    """Numbers of the images that are in the grid."""
    return {cell.show for cell in plan.cells if isinstance(cell.show, int)}


def grid_picture(plan: Plan, images: Mapping[int, Tensor]) -> Image.Image:
    """The grid of a plan, of uint8 `images` (3, H, W) by number; those of `shown_images` are needed."""
    tiles = [images[cell.show] if isinstance(cell.show, int) else cell.show.image for cell in plan.cells]
    return Faces(torch.stack(tiles), tuple(cell.caption for cell in plan.cells)).grid(plan.columns)


def strip_picture(artist: Artist, strip: Strip, progress: Progress) -> Image.Image:
    """A blend's strip: a row a seed, from each part alone to the mix."""
    images = artist.draw_all(strip.inputs, strip.seeds, "Blend strip", progress)
    return Faces(images, strip.captions).grid(strip.columns)
