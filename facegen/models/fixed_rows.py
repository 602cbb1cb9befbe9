"""Calling a network with always the same number of rows, so that an image depends on nothing but itself.

Matrix products and convolutions add up in another order for another batch size: on a CPU, the same latent
through the same network differs by up to 1e-6 between batches of 1 and 8, which sampling carries into the
picture. With one fixed shape the same row comes out the same to the last bit, wherever in the batch it
stands, so calls are cut into chunks of that many rows and the last chunk is filled up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from facegen.models.side_by_side import SideBySide
from facegen.protocols import Autoencoder, Conditioner, Network
from facegen.types import Blend, Conditioning

# Work of one call, in rows x positions (pixels or latent cells), and its largest number of rows. On two CPU
# cores 8 rows of 16x16 reach 90 % of the rate of 32; fewer would not, more would make single images slow.
_BUDGETS = {"cpu": (2**15, 8), "cuda": (2**18, 64)}

Out = TypeVar("Out", Tensor, Conditioning)


def rows_for(shape: tuple[int, ...] | torch.Size, device: torch.device) -> int:
    """Rows of one call on samples (C, H, W) or (D,); depends on the model and device alone."""
    budget, most = _BUDGETS.get(device.type, _BUDGETS["cpu"])
    return max(1, min(most, budget // math.prod(shape[1:])))


def _one_by_one(call: Callable[[Tensor], Out], chunks: list[Tensor]) -> list[Out]:
    return [call(chunk) for chunk in chunks]


class FixedRowsNetwork:
    """A `Network` that calls `network` with exactly `rows` rows at a time, without gradients.

    `side_by_side` makes these calls in several threads of a CPU: not where somebody watches its layers.
    """

    def __init__(self, network: Network, rows: int, *, side_by_side: bool = False) -> None:
        self._network, self._rows = network, rows
        self._together = SideBySide() if side_by_side else None

    @torch.no_grad()
    def __call__(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        def call(rows: Tensor) -> Tensor:
            return self._network(x_t[rows], timestep[rows], conditioning[rows])

        each = _one_by_one
        if self._together is not None and x_t.device.type == "cpu":
            given = (x_t, *conditioning.parts)
            shape = tuple(None if one is None else (one.shape[1:], one.dtype) for one in given)
            each = partial(self._together, shape=shape)
        return torch.cat(_chunks(call, len(x_t), self._rows, x_t.device, each))


@torch.no_grad()
def conditioning_of(
    conditioner: Conditioner, inputs: Tensor | Blend, rows: int, device: torch.device
) -> Conditioning:
    """What `conditioner` gives on `device` for `inputs` (B, ...), `rows` rows at a time; blends are mixed."""
    if isinstance(inputs, Blend):
        parts = [conditioning_of(conditioner, part, rows, device) for part in inputs.parts]
        return Conditioning.mix(parts, inputs.weights.to(device))
    inputs = inputs.to(device)
    return Conditioning.cat(_chunks(lambda index: conditioner(inputs[index]), len(inputs), rows, device))


@torch.no_grad()
def encoded(autoencoder: Autoencoder, images: Tensor, device: torch.device) -> Tensor:
    """Means (B, *S) of the unscaled latents of images (B, 3, H, W) in [-1, 1], in chunks as `decoded`."""
    images, rows = images.to(device), rows_for(images.shape[1:], device)
    return torch.cat(_chunks(lambda index: autoencoder.encode(images[index]).mean, len(images), rows, device))


@torch.no_grad()
def decoded(autoencoder: Autoencoder, latents: Tensor, image_size: int, device: torch.device) -> Tensor:
    """Images (B, 3, H, W) of unscaled latents (B, *S), in chunks that fit the image's size."""
    rows = rows_for((3, image_size, image_size), device)
    return torch.cat(_chunks(lambda index: autoencoder.decode(latents[index]), len(latents), rows, device))


def _chunks(
    call: Callable[[Tensor], Out],
    total: int,
    rows: int,
    device: torch.device,
    each: Callable[[Callable[[Tensor], Out], list[Tensor]], list[Out]] = _one_by_one,
) -> list[Out]:
    """Outputs of `call` for `rows` row numbers at a time; the last chunk is filled up with its last row."""
    starts = range(0, total, rows)
    chunks = [torch.arange(start, start + rows, device=device).clamp(max=total - 1) for start in starts]
    outputs = each(call, chunks)
    return [output[: total - start] for start, output in zip(starts, outputs, strict=True)]
