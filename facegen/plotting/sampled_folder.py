"""Rows of a grid from a folder of PNGs that `facegen sample` made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegen.errors import DataError, MissingModelError
from facegen.formats.checkpoint import resolve_checkpoint
from facegen.formats.images import decode_image
from facegen.plotting.requested import wrapped
from facegen.plotting.samples_figure import SampleRow
from facegen.sampling.plan import shares
from facegen.sampling.png_settings import ImageSettings, read_image_settings
from facegen.sampling.request import request_text
from facegen.sampling.sample import GRID_NAME, STRIP_NAME


def is_folder_of_images(folder: Path) -> bool:
    """Whether `folder` holds PNGs and is not a run or checkpoint."""
    if not any(folder.glob("*.png")):
        return False
    try:
        resolve_checkpoint(folder)
    except MissingModelError:
        return True
    return False


def rows_of_folder(folder: Path, count: int) -> list[SampleRow]:
    """A row for each request that the first `count` PNGs were made with, grids left out.

    Raises:
        DataError: a PNG without settings, no images but grids, or images of several sizes.
    """
    groups: dict[str, list[tuple[np.ndarray, str]]] = {}
    for path in _image_files(folder)[:count]:
        settings = read_image_settings(path)
        image = np.asarray(decode_image(path.read_bytes()))
        groups.setdefault(_words(settings), []).append((image, _caption(settings)))
    sizes = {image.shape for group in groups.values() for image, _ in group}
    if not groups:
        raise DataError(f"'{folder}' holds no images of 'facegen sample', only grids.")
    if len(sizes) > 1:
        told = ", ".join(sorted(f"{width}x{height}" for height, width, _ in sizes))
        raise DataError(f"'{folder}' holds images of several sizes: {told}.")
    return [
        SampleRow(wrapped(words), np.stack([image for image, _ in group]), tuple(text for _, text in group))
        for words, group in groups.items()
    ]


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.png") if path.name not in (GRID_NAME, STRIP_NAME))


def _words(settings: ImageSettings) -> str:
    if settings.blend:
        return ", ".join(shares(list(settings.blend), list(settings.blend.values())))
    if settings.photos:
        return " to ".join(photo.file for photo in settings.photos)
    return settings.prompt or request_text(settings.labels)


def _caption(settings: ImageSettings) -> str:
    place = "" if settings.position is None else f"{100 * settings.position:.0f} %, "
    return f"{place}seed {settings.seed}"
