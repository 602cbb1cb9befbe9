"""The data that flows between layers, as frozen dataclasses.

Shape letters: B batch, C channels, H/W image pixels, h/w latent cells, L tokens, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facegen.placing import constant


@dataclass(frozen=True)
class SampleSpec:
    """Shape of one diffused sample: `(4, 16, 16)` a latent, `(3, 64, 64)` pixels, `(256,)` a vector."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class ConditioningSpec:
    """What a conditioner gives: width of its vector, width and number of its tokens, and how many numbers it
    was asked with; None if absent."""

    vector_dim: int | None = None
    token_dim: int | None = None
    num_tokens: int | None = None
    num_values: int | None = None


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser is told: `vector` (B, D), `tokens` (B, L, D), `token_mask` (B, L) True = real, and
    `values` (B, V) as they were asked, 0 where nothing was."""

    vector: Tensor | None = None
    tokens: Tensor | None = None
    token_mask: Tensor | None = None
    values: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """All of it, in the order of the fields."""
        return (self.vector, self.tokens, self.token_mask, self.values)

    def __getitem__(self, rows: slice | Tensor) -> Conditioning:
        """The same for some rows of the batch."""
        return Conditioning(*(None if part is None else part[rows] for part in self.parts))

    @staticmethod
    def mix(parts: list[Conditioning], weights: Tensor) -> Conditioning:
        """The weighted sum of one conditioner's `parts` (K), with `weights` (B, K); every row sums to 1.

        A token counts where any part has it.
        """
        vectors, tokens, masks, values = _present(parts)
        token_mask = torch.stack(masks).any(0) if masks else None
        return Conditioning(
            _mixed(vectors, weights), _mixed(tokens, weights), token_mask, _mixed(values, weights)
        )

    @staticmethod
    def cat(parts: list[Conditioning]) -> Conditioning:
        """Stack conditionings of one conditioner along the batch."""
        return Conditioning(*(torch.cat(each) if each else None for each in _present(parts)))


UNCONDITIONAL = Conditioning()
"""Nothing told."""


def _present(parts: list[Conditioning]) -> list[list[Tensor]]:
    """Vectors, tokens, token masks and values of the parts that have them."""
    each = zip(*(part.parts for part in parts), strict=True)
    return [[value for value in values if value is not None] for values in each]


def _mixed(parts: list[Tensor], weights: Tensor) -> Tensor | None:
    if not parts:
        return None
    shape = (-1, *[1] * (parts[0].ndim - 1))
    terms = [part * weight.view(shape) for part, weight in zip(parts, weights.unbind(1), strict=True)]
    return sum(terms[1:], start=terms[0])  # one by one, so that a row comes out the same in any batch


@dataclass(frozen=True)
class Blend:
    """Several requests mixed into one: `parts`, K tensors of condition inputs (B, ...), and `weights` (B, K).

    What the conditioner makes of the parts is interpolated, not the labels. Sliceable by rows, as a tensor.
    """

    parts: tuple[Tensor, ...]
    weights: Tensor

    def __post_init__(self) -> None:
        rows, count = len(self.parts[0]), len(self.parts)
        if self.weights.shape != (rows, count) or any(len(part) != rows for part in self.parts):
            raise ValueError(f"{count} parts of {rows} rows need weights ({rows}, {count}).")
        if not torch.allclose(self.weights.sum(1), torch.ones(rows, dtype=self.weights.dtype), atol=1e-4):
            raise ValueError("the weights of every row must sum to 1")

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice | Tensor) -> Blend:
        return Blend(tuple(part[rows] for part in self.parts), self.weights[rows])

    @staticmethod
    def of_rows(parts: Sequence[Tensor], weights: Tensor) -> Blend:
        """Mix the single rows `parts` (1, ...) by each row of `weights` (B, K)."""
        count = len(weights)
        return Blend(tuple(part.expand(count, *part.shape[1:]) for part in parts), weights)


LOG_VARIANCE_RANGE = (-30.0, 20.0)  # of diffusers' DiagonalGaussianDistribution


@dataclass(frozen=True)
class LatentMoments:
    """Diagonal Gaussian over latents: `mean` and `log_variance`, both (B, *S)."""

    mean: Tensor
    log_variance: Tensor

    @staticmethod
    def of_halves(channels: Tensor) -> LatentMoments:
        """An encoder's (B, 2 C, ...): its first half is the mean, the other the log-variance, clamped."""
        mean, log_variance = channels.chunk(2, dim=1)
        return LatentMoments(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))

    @staticmethod
    def exactly(mean: Tensor) -> LatentMoments:
        """`mean` with log-variance -30: a deviation of 3e-7, below half a float16 step of any pixel value."""
        return LatentMoments(mean, torch.full_like(mean, LOG_VARIANCE_RANGE[0]))

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + std * noise for standard normal `noise` of the same shape."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


@dataclass(frozen=True)
class LatentScaling:
    """Affine map to unit scale in diffusers' convention, `(z - shift) * scale`: per channel of a map, per
    entry of a vector."""

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, z: Tensor) -> Tensor:
        """Scale autoencoder latents (B, *S) to what the denoiser sees."""
        return (z - self._column(self.shift, z)).mul_(self._column(self.scale, z))

    def invert(self, x: Tensor) -> Tensor:
        """Undo `apply`: denoiser samples (B, *S) to autoencoder latents."""
        return x / self._column(self.scale, x) + self._column(self.shift, x)

    @staticmethod
    def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return constant(values, like).view(1, -1, *[1] * (like.ndim - 2))


@dataclass(frozen=True)
class Prediction:
    """A denoiser's answer at one noise level: estimates of the clean sample and of the noise."""

    x0: Tensor
    eps: Tensor


@dataclass(frozen=True)
class SamplerStep:
    """One step of a sampler: after `index + 1` of `num_steps`, the state `x_t` and the current `x0`."""

    index: int
    num_steps: int
    timestep: float
    x_t: Tensor
    x0: Tensor

    @property
    def is_last(self) -> bool:
        """Whether `x0` is the sample."""
        return self.index + 1 == self.num_steps


@dataclass(frozen=True)
class LabelSchema:
    """Which labels a data set carries: binary `attributes`, and per class column its class names."""

    attributes: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True)
class Asking:
    """How a model with a conditioner of some kind is asked for faces.

    `options` are those of `facegen sample` that fit, `trained_on` what a refusal of another one names, and
    `instead` its hint. `condition` says in a sentence what it is asked with, `example` is such an option.
    With `free_text` any words are understood, so that a model of pictures and words can judge the faces.
    """

    options: tuple[str, ...]
    trained_on: str
    instead: str
    condition: str = ""
    example: str = ""
    free_text: bool = False


@dataclass(frozen=True)
class PromptReading:
    """How a prompt was read: `labels` asked for, words behind each, and the words left over.

    `nearest` are known words that look like some of those left over.
    """

    labels: dict[str, float]
    understood: tuple[tuple[str, str], ...] = ()  # (words of the prompt, what they were read as)
    not_understood: tuple[str, ...] = ()
    nearest: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def left_over(self) -> str:
        """What was not understood, for a person: "'mustach' (the nearest known: 'mustache'), 'wings'"."""
        near = {words: f" (the nearest known: '{known}')" for words, known in self.nearest.items()}
        return ", ".join(f"'{words}'{near.get(words, '')}" for words in self.not_understood)


@dataclass(frozen=True)
class DatasetRecord:
    """One source image with its labels, before decoding.

    `load` returns the file's raw bytes. `attributes` values are True, False or None (unknown).
    `split` is None where the source does not say. `location` names the origin for error messages. By `size`
    in bytes and `modified`, seconds since the epoch, a change of the file is seen; None where it has none.
    """

    id: str
    load: Any  # Callable[[], bytes]
    location: str
    attributes: dict[str, bool | None] = field(default_factory=dict[str, bool | None])
    classes: dict[str, str | None] = field(default_factory=dict[str, str | None])
    caption: str | None = None
    split: str | None = None
    identity: str | None = None
    extra: dict[str, int | float | str | None] = field(default_factory=dict[str, Any])  # e.g. age
    size: int | None = None
    modified: float | None = None


@dataclass(frozen=True)
class Recognition:
    """That a source looks like one for a kind of data set, how surely (0 to 1), why, and its images."""

    certainty: float
    why: str
    num_images: int


@dataclass(frozen=True)
class DatasetReject:
    """Something of a source that does not become an image of the data set; `reason` is "kind: detail"."""

    id: str
    location: str
    reason: str


@dataclass(frozen=True)
class FoundFace:
    """A face in a photo, in pixels from its upper left corner.

    `box` is left, top, right, bottom. `points` are the middles of both eyes, the tip of the nose and both
    corners of the mouth, of each pair the one that is further left in an upright picture first. `score` is
    the finder's own, at most 1.
    """

    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]
    score: float


CropBox = tuple[float, float, float]
"""A square cut: its side as a share of the image's shorter side, and its centre (x, y) as shares of
width and height."""
