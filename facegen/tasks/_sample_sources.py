"""What a denoiser is trained on: stored latents, or images of a data set as they are.

Letters: N examples of a split, B batch, *S sample shape, K numbers that describe an augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Generator, Tensor

from facegen.errors import DataError, UsageError
from facegen.formats.dataset import DatasetSplit
from facegen.formats.images import to_unit
from facegen.formats.latents import LatentSplit, LatentStore
from facegen.nn.augmentation import Augmentation
from facegen.protocols import Autoencoder
from facegen.types import LatentScaling

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Drawn:
    """Clean samples `x0` (B, *S) in the denoiser's scaled space, and what was done to each image (B, K)
    where the model is to be told."""

    x0: Tensor
    augmentation: Tensor | None = None


class Samples(Protocol):
    """One split of whatever is diffused. All randomness comes from the generator that is handed in."""

    @property
    def frame(self) -> pd.DataFrame:
        """Labels, a row an example."""
        ...

    def __len__(self) -> int: ...

    def draw(self, indices: Tensor, generator: Generator) -> Drawn:
        """Examples `indices` (B,) for training, mirrored and augmented as asked."""
        ...

    def held_out(self, indices: Tensor, generator: Generator) -> Tensor:
        """Examples (B, *S) for scoring: nothing is done to them."""
        ...

    def means(self, indices: Tensor) -> Tensor:
        """The examples without the noise of a posterior (B, *S)."""
        ...


class LatentSamples:
    """Scaled latents, drawn from the stored moments."""

    def __init__(self, split: LatentSplit, scaling: LatentScaling, *, flip: bool = False) -> None:
        self._split, self._scaling, self._flip = split, scaling, flip

    @property
    def frame(self) -> pd.DataFrame:
        return self._split.frame

    def __len__(self) -> int:
        return len(self._split)

    def draw(self, indices: Tensor, generator: Generator) -> Drawn:
        flipped = torch.rand(len(indices), generator=generator) < 0.5 if self._flip else None
        return Drawn(self._sampled(indices, generator, flipped))

    def held_out(self, indices: Tensor, generator: Generator) -> Tensor:
        return self._sampled(indices, generator, None)

    def means(self, indices: Tensor) -> Tensor:
        return self._scaling.apply(self._split.gather(indices).mean)

    def _sampled(self, indices: Tensor, generator: Generator, flipped: Tensor | None) -> Tensor:
        moments = self._split.gather(indices, flipped)
        return self._scaling.apply(moments.sample(torch.randn(moments.mean.shape, generator=generator)))


class PixelSamples:
    """Images as [-1, 1] pixels, in colour or grey as `autoencoder` (an identity) gives them.

    `augmentation` is drawn anew each time an image is; held-out images are never augmented.
    """

    def __init__(
        self,
        split: DatasetSplit,
        autoencoder: Autoencoder,
        *,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._split, self._autoencoder, self._augmentation = split, autoencoder, augmentation

    @property
    def frame(self) -> pd.DataFrame:
        return self._split.frame

    def __len__(self) -> int:
        return len(self._split)

    def draw(self, indices: Tensor, generator: Generator) -> Drawn:
        images, augmentation = to_unit(self._split.images(indices)), self._augmentation
        if augmentation is None:
            return Drawn(self._autoencoder.encode(images).mean)
        parameters = augmentation.draw(len(indices), generator)
        x0 = self._autoencoder.encode(augmentation.apply(images, parameters)).mean
        return Drawn(x0, parameters if augmentation.tell_model else None)

    def held_out(self, indices: Tensor, generator: Generator) -> Tensor:
        return self.means(indices)

    def means(self, indices: Tensor) -> Tensor:
        return self._autoencoder.encode(to_unit(self._split.images(indices))).mean


def latent_samples(latents: LatentStore, split: str, *, flip: bool = False) -> LatentSamples:
    """One split of a latent folder.

    Raises:
        DataError: the split is missing or empty.
        UsageError: flips asked for that were not encoded.
    """
    if flip and not latents.index.flips:
        raise UsageError(
            "data.flip is on, but these latents were encoded without their mirror images.",
            hint="Encode again with --flips, or train with --set data.flip=false.",
        )
    examples = latents.split(split)
    if len(examples) == 0:
        raise DataError(
            f"The latents have no examples in their '{split}' split.",
            hint="Choose another with --set data.train_split=... or data.validation_split=..., "
            "or prepare the data again with --splits.",
        )
    return LatentSamples(examples, latents.index.scaling, flip=flip)
