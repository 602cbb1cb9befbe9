"""Photos that a model of pictures is asked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.formats.far import shared_path
from facegen.formats.files import sha256_of
from facegen.formats.images import crop_square, decode_image, resize_square, square_in
from facegen.types import CropBox

CENTER = "center"


@dataclass(frozen=True)
class Photo:
    """A photo as the model sees it: uint8 (3, H, W), and which file it was; `path` as it was typed.

    `whole` is the width and height of the file's upright picture in pixels, `square` the left, top and side
    of what was cut of it.
    """

    path: Path
    sha256: str
    image: Tensor
    whole: tuple[int, int]
    square: tuple[int, int, int]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def told(self) -> dict[str, Any]:
        """What the settings of an image say about it."""
        return {"file": self.name, "path": shared_path(self.path), "sha256": self.sha256}


def read_photo(
    path: Path, crop: str, size: int, check: Callable[[Image.Image], None] = lambda square: None
) -> Photo:
    """Decode `path` upright, cut a square and resize it to `size`, as `facegen prepare` does.

    `check` sees the square before it is resized and may refuse it.

    Raises:
        DataError: no such file, or not a picture that can be read.
        UsageError: there is no such crop.
    """
    box = crop_box(crop)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"The photo '{path}' cannot be read: {error.strerror}.") from error
    try:
        whole = decode_image(data)
        square = crop_square(whole, box)
    except DataError as error:
        raise DataError(f"The photo '{path}' cannot be used: {error}.") from error
    check(square)
    square = resize_square(square, size)
    image = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).contiguous()
    return Photo(Path(path), sha256_of(data), image, whole.size, square_in(whole.size, box))


def crop_box(crop: str) -> CropBox | None:
    """What `crop` means: a name that `facegen prepare` knows too, or "SHARE,X,Y".

    Raises:
        UsageError: neither.
    """
    from facegen.datasets.celeba import CelebA  # brings pandas, which takes 0.4 s of a start

    named: dict[str, CropBox | None] = {**CelebA.crops, "none": None}
    if crop in named:
        return named[crop]
    try:
        share, x, y = (float(part) for part in crop.split(","))
    except ValueError:
        share, x, y = 0.0, 0.0, 0.0
    if not (0 < share <= 1 and 0 <= x <= 1 and 0 <= y <= 1):
        raise UsageError(
            f"--crop '{crop}' is not a crop.",
            hint=f"Crops: {', '.join(named)} (face: of aligned CelebA photos), or SHARE,X,Y: the side as a "
            "share of the shorter side, and the centre as shares of width and height, such as 0.6,0.5,0.4.",
        )
    return share, x, y
