"""Faces in photos cut out the way data sets of faces have them.

Points are the five of `facegen.types.FoundFace`, in pixels from the photo's upper left corner; the middle of
the first pixel is at 0.5. No torch here: worker processes import this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Alignment = Literal["ffhq", "celeba"]
Points = tuple[tuple[float, float], ...]

SQUARE_OF_FACE = 1.6  # the side of FFHQ's square over a face's size
_CELEBA_POINTS = (70.0 + 111.5j, 108.1 + 111.7j, 71.5 + 152.6j, 106.0 + 152.5j)
"""Means over CelebA's own list of where eyes and corners of the mouth are in its images of 178 x 218."""
_CELEBA_MIDDLE, _CELEBA_SIDE = 89.0 + 113.36j, 160.2  # the crop `face` of the kind celeba
_FINEST = 4  # a photo is first halved while the square has this many times the pixels that are wanted
_MARGIN_PIXELS = 3  # around the square, for interpolation


@dataclass(frozen=True)
class FaceSquare:
    """A square in a photo: its middle and side in pixels, and its tilt in degrees, positive clockwise."""

    x: float
    y: float
    side: float
    tilt: float

    def to_square(self, point: tuple[float, float], size: int) -> tuple[float, float]:
        """Where a point of the photo is in the square resized to `size` pixels."""
        turned = (complex(*point) - complex(self.x, self.y)) * _turn(-self.tilt) / self.side
        return (turned.real + 0.5) * size, (turned.imag + 0.5) * size

    def from_square(self, point: tuple[float, float], size: int) -> tuple[float, float]:
        """Where a point of the square resized to `size` pixels is in the photo."""
        there = (complex(*point) / size - (0.5 + 0.5j)) * self.side * _turn(self.tilt)
        return self.x + there.real, self.y + there.imag


def face_size(points: Points) -> float:
    """A face's size in pixels: about the mean of its width and its height from the brows to the chin.

    It is 2.5 times the distance of the eyes, or 2.25 times that from eyes to mouth where this is more, as a
    turned head's eyes are near each other: the side of FFHQ's square over 1.6.
    """
    return _ffhq(points).side / SQUARE_OF_FACE


def face_square(points: Points, align: Alignment) -> FaceSquare:
    """The square that FFHQ or CelebA would cut: a similarity of the photo that eyes and mouth decide.

    FFHQ's is that of its authors (Karras et al., 2018, appendix A). CelebA's is the similarity that brings
    eyes and mouth nearest to where CelebA has them on average, and its part that `prepare celeba` keeps.
    """
    return _ffhq(points) if align == "ffhq" else _celeba(points)


def _ffhq(points: Points) -> FaceSquare:
    left, right, _, mouth_left, mouth_right = (complex(*point) for point in points)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    upright = across - 1j * down  # across the face, as eyes and mouth agree on
    half = max(2.0 * abs(across), 1.8 * abs(down))
    middle = eyes + 0.1 * down
    return FaceSquare(middle.real, middle.imag, 2 * half, _tilt(upright))


def _celeba(points: Points) -> FaceSquare:
    """Least squares over complex numbers: photo = a * celeba + b."""
    here = np.array([complex(*points[number]) for number in (0, 1, 3, 4)])
    there = np.array(_CELEBA_POINTS)
    offset, whole = here - here.mean(), there - there.mean()
    a = complex((whole.conj() * offset).sum() / (abs(whole) ** 2).sum())
    middle = a * (_CELEBA_MIDDLE - complex(there.mean())) + complex(here.mean())
    return FaceSquare(middle.real, middle.imag, abs(a) * _CELEBA_SIDE, _tilt(a))


def _tilt(direction: complex) -> float:
    return math.degrees(math.atan2(direction.imag, direction.real))


def _turn(degrees: float) -> complex:
    return complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


def cut_face(image: Image.Image, square: FaceSquare, size: int) -> Image.Image:
    """The square, turned upright and resized to `size` x `size`; beyond the photo's edges it is reflected.

    The result is new pixels alone: nothing that the file said besides is carried along.
    """
    reach = square.side * math.sqrt(0.5) + _MARGIN_PIXELS
    left, top = math.floor(square.x - reach), math.floor(square.y - reach)
    right, bottom = math.ceil(square.x + reach), math.ceil(square.y + reach)
    region = _region(image, left, top, right, bottom)
    shrink = max(1, int(square.side / (_FINEST * size)))
    if shrink > 1:
        region = region.reduce(shrink)
    finer = max(1, math.ceil(square.side / shrink / size)) * size
    # the square's corner and sides in the region's pixels
    turn = _turn(square.tilt)
    across, down = (turn * part * square.side / shrink for part in (1, 1j))
    corner = (complex(square.x - left, square.y - top)) / shrink - (across + down) / 2
    step, step_down = across / finer, down / finer
    matrix = (step.real, step_down.real, corner.real, step.imag, step_down.imag, corner.imag)
    cut = region.transform((finer, finer), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    cut = cut if finer == size else cut.resize((size, size), Image.Resampling.LANCZOS)
    return Image.fromarray(np.array(cut))


def _region(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """A part of the photo that may reach beyond its edges, where it is reflected."""
    width, height = image.size
    inner = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    if inner == (left, top, right, bottom):
        return image.crop(inner)
    pixels = np.asarray(image)
    rows, columns = _reflected(top, bottom, height), _reflected(left, right, width)
    return Image.fromarray(pixels[rows[:, None], columns])


def _reflected(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Indices start..stop folded into 0..length-1: -1 is 0, `length` is length - 1."""
    folded = np.arange(start, stop) % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
