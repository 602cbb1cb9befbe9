"""What Pillow does alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def square(file: Path, size: int) -> Image.Image:
    """The middle square of a file, decoded and made smaller."""
    with Image.open(file) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cut = image.convert("RGB").crop((left, top, left + side, top + side))
        return cut.resize((size, size), Image.Resampling.LANCZOS)


def bare(size: int, files: Sequence[Path]) -> None:
    """Decode and resize, and keep nothing."""
    for file in files:
        square(file, size)


def loop(size: int, folder: Path, files: Sequence[Path]) -> None:
    """A PNG each, one after the other, as scripts do it."""
    folder.mkdir(exist_ok=True)
    for file in files:
        square(file, size).save(folder / f"{file.stem}.png")
