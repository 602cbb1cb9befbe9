"""Source bytes to square PNGs, in parallel. No torch here: worker processes import this module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facegen.errors import DataError, FacegenError
from facegen.formats.files import sha256_of
from facegen.formats.images import crop_square, pil_to_png, read_image, resize_square

Load = Callable[[], bytes]


@dataclass(frozen=True)
class ImageJob:
    """What is done to every image; see `facegen.types.CropBox`."""

    crop: tuple[float, float, float] | None
    size: int
    min_side: int


@dataclass(frozen=True)
class PreparedImage:
    """The PNG of one record and its source's SHA-256, or the `problem` that keeps it out.

    `side` is the width of the square before it was resized, `mended` what had to be mended to read it.
    """

    png: bytes | None = None
    sha256: str = ""
    side: int = 0
    problem: str = ""
    mended: str = ""


def prepare_image(job: ImageJob, load: Load) -> PreparedImage:
    """Load, decode, crop, resize and encode; what fails is told in the `problem`."""
    try:
        data = load()
    except (OSError, FacegenError) as error:
        return PreparedImage(problem=f"unreadable: {error}")
    try:
        image, mended = read_image(data)
        square = crop_square(image, job.crop)
    except DataError as error:
        told = str(error)
        return PreparedImage(problem=told if told.startswith("not square") else f"unreadable: {told}")
    if square.width < job.min_side:
        return PreparedImage(problem=f"too small: {square.width} pixels, {job.min_side} are needed")
    png = pil_to_png(resize_square(square, job.size))
    return PreparedImage(png=png, sha256=sha256_of(data), side=square.width, mended=mended)
