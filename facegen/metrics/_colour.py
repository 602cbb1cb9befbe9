"""How colours of one set of images are shifted against those of another."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

COLOURS = (
    "red", "green", "blue", "contrast of red", "contrast of green", "contrast of blue",
)  # fmt: skip
NUM_COLOURS = len(COLOURS)
MIN_IMAGES = 16
Z95_OF_SIX = 2.638257273476751  # the normal's quantile at 1 - 0.05 / 12: all six hold together in 95 %


class Shift(TypedDict):
    """Levels of 255 that drawn images are above real ones in the mean, with an interval, and the latter's."""

    shift: float
    low: float
    high: float
    real: float


def colours_of(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> each channel's mean and standard deviation over an image, float32 (B, 6)."""
    pixels = images.float().flatten(2)  # (B, 3, HW)
    return torch.cat([pixels.mean(2), pixels.std(2, correction=0)], dim=1)


def colour_shifts(drawn: Tensor, real: Tensor) -> dict[str, Shift]:
    """The difference of the means of two sets of `colours_of` (N, 6) and (M, 6), by what it is of.

    The six intervals hold together in 95 % of draws (Bonferroni), over images (Welch); nothing is said of
    fewer than `MIN_IMAGES` on a side.
    """
    if min(len(drawn), len(real)) < MIN_IMAGES:
        return {}
    ours, theirs = drawn.double(), real.double()
    shifts = ours.mean(0) - theirs.mean(0)
    widths = Z95_OF_SIX * (ours.var(0) / len(ours) + theirs.var(0) / len(theirs)).sqrt()
    table = torch.stack([shifts, shifts - widths, shifts + widths, theirs.mean(0)], dim=1)
    return {
        name: {"shift": float(row[0]), "low": float(row[1]), "high": float(row[2]), "real": float(row[3])}
        for name, row in zip(COLOURS, table, strict=True)
    }


def colour_remark(shifts: dict[str, Shift]) -> str | None:
    """What is outside its interval, in words; None where nothing is."""
    told = [
        f"{name} {abs(row['shift']):.1f} {'above' if row['shift'] > 0 else 'below'} {row['real']:.1f}"
        for name, row in shifts.items()
        if not row["low"] <= 0 <= row["high"]
    ]
    if not told:
        return None
    return f"Colour: these images are not as the real ones in {', '.join(told)} (levels of 255)."
