"""Images to be judged, whatever they come from: a split of a data set or a folder of files."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.images import IMAGE_SUFFIXES, decode_image
from facegen.sampling.png_settings import SETTINGS_KEY
from facegen.sampling.sample import GRID_NAME, STRIP_NAME

_FACE_NAME = re.compile(r"seed-\d+(-frame-\d+)?\.png")  # as `facegen sample` calls single faces
LOSSY_FORMATS = ("jpeg", "webp", "mpo")


class FolderImages:
    """The image files of a folder (not of its subfolders), in the order of their names.

    Grids and strips that `facegen sample` puts beside its samples, which say so themselves, and hidden files
    are left out.

    Raises:
        DataError: no such folder, or no images in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"'{folder}' is not a folder.")
        self.folder = folder
        self.files = sorted(path for path in folder.iterdir() if _is_sample(path))
        if not self.files:
            raise DataError(
                f"'{folder}' holds no images ({', '.join(IMAGE_SUFFIXES)}); subfolders are not searched.",
                hint="Fill it with: facegen sample RUN --count 1000 --out FOLDER",
            )
        self._size = self._decode(self.files[0]).shape[-2:]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def image_size(self) -> int:
        """Pixels a side.

        Raises:
            DataError: the images are not square.
        """
        height, width = self._size
        if height != width:
            raise DataError(f"'{self.files[0]}' is {width}x{height}; facegen judges square images.")
        return int(height)

    def images(self, indices: Tensor) -> Tensor:
        """uint8 (N, 3, H, W).

        Raises:
            DataError: an unreadable file, or one of another size than the first.
        """
        images = [self._decode(self.files[index]) for index in indices.tolist()]
        for index, image in zip(indices.tolist(), images, strict=True):
            if image.shape[-2:] != self._size:
                raise DataError(
                    f"The images have different sizes: '{self.files[0].name}' is {_by(self._size)}, "
                    f"'{self.files[index].name}' is {_by(image.shape[-2:])}.",
                    hint="Judge images of one size; facegen does not resize them silently.",
                )
        return torch.stack(images)

    def stored(self, indices: Tensor) -> StoredImages:
        """The hash of the files at `indices` and how their pixels are kept.

        Raises:
            DataError: an unreadable file.
        """
        digest, formats = hashlib.sha256(), set()
        for index in indices.tolist():
            data, format_, _ = _opened(self.files[index])
            digest.update(hashlib.sha256(data).digest())
            formats.add(format_)
        return StoredImages(digest.hexdigest(), tuple(sorted(formats)))

    @staticmethod
    def _decode(path: Path) -> Tensor:
        data, _, mode = _opened(path)
        if mode != "RGB":
            raise DataError(
                f"'{path}' is not an RGB image of 8 bits a channel (its mode is '{mode}'); turning it into "
                "one would decide part of the score.",
                hint="Convert the folder first, for example: magick mogrify -type TrueColor -depth 8 "
                f"-alpha off -define png:color-type=2 '{path.parent}'/*{path.suffix}",
            )
        try:
            pixels = np.array(decode_image(data))
        except DataError as error:
            raise DataError(f"'{path}': {error}") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)


@dataclass(frozen=True)
class StoredImages:
    """Files as they are on disk: the hash of all of them in order, and their formats ("jpeg", "png", ...)."""

    sha256: str
    formats: tuple[str, ...]

    @property
    def compression(self) -> str:
        """ "lossless", "lossy" or "mixed": lossy files move features, so scores of the two do not compare."""
        kinds = {"lossy" if name in LOSSY_FORMATS else "lossless" for name in self.formats}
        return kinds.pop() if len(kinds) == 1 else "mixed"


def _is_sample(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
        return False
    is_face = _FACE_NAME.fullmatch(path.name) is not None  # spares a folder of 50,000 samples the look inside
    return is_face or not _shows_many(path)


def _shows_many(path: Path) -> bool:
    """Whether a PNG carries the settings of a grid or strip, whatever it is called; those of format version 1
    do not say of what they are, so that the name counts."""
    try:
        with Image.open(path, formats=("PNG",)) as image:  # text stands before the pixels, which stay unread
            settings = json.loads(str(image.info.get(SETTINGS_KEY, "null")))
    except (OSError, SyntaxError, ValueError):  # it is judged, and then refused with the reason
        return False
    shows = settings.get("shows", "") if isinstance(settings, dict) else "image"
    return shows in (("grid", "strip", "") if path.name in (GRID_NAME, STRIP_NAME) else ("grid", "strip"))


def _opened(path: Path) -> tuple[bytes, str, str]:
    """A file's bytes, and from the first of them its format in lower case and Pillow's mode."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            return data, str(image.format).lower(), image.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"'{path}' is not an image that can be read: {error}.") from error


def _by(size: torch.Size) -> str:
    return f"{size[1]}x{size[0]}"
