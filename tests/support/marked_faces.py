"""Photos whose faces carry a coloured dot at each of the five points, and a finder that looks for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from facegen.config.kinds import KindConfig
from facegen.formats.faces import face_size
from facegen.types import FoundFace

FINDER = "support.marked_faces:Marked"
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
SHAPE = (-0.2 - 0.2j, 0.2 - 0.2j, 0.0 + 0.05j, -0.16 + 0.24j, 0.16 + 0.24j)
"""Five points of an upright face, in units of its size, from its middle."""


@dataclass(frozen=True)
class MarkedFace:
    """A face of `pixels` as `face_size` has it, at (x, y), tilted by degrees; `seed` decides its skin."""

    x: float
    y: float
    pixels: float
    tilt: float = 0.0
    seed: int = 0
    grain: float = 1.0

    def points(self) -> tuple[tuple[float, float], ...]:
        turn = complex(math.cos(math.radians(self.tilt)), math.sin(math.radians(self.tilt)))
        here = (complex(self.x, self.y) + self.pixels * turn * point for point in SHAPE)
        return tuple((point.real, point.imag) for point in here)


def marked_photo(*faces: MarkedFace, size: tuple[int, int] = (200, 200)) -> Image.Image:
    """A grey photo of this size with these faces; `grain` 0 is skin as smooth as in a blurred photo."""
    pixels = np.full((size[1], size[0], 3), 120.0)
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    for face in faces:
        inside = np.hypot(columns - face.x, rows - face.y) < face.pixels * 0.7
        random = np.random.default_rng(face.seed)
        coarse = random.normal(0, 60, (8, 8))
        turn = complex(math.cos(math.radians(-face.tilt)), math.sin(math.radians(-face.tilt)))
        place = ((columns - face.x) + 1j * (rows - face.y)) * turn / face.pixels * 5 + (3.5 + 3.5j)
        skin = ndimage.map_coordinates(coarse, [place.imag, place.real], order=1, mode="nearest")
        skin += face.grain * random.normal(0, 20, skin.shape)
        pixels[inside] = (128 + skin[inside, None]).clip(40, 200)
    for face in faces:
        for (x, y), colour in zip(face.points(), COLOURS, strict=True):
            near = np.hypot(columns - x, rows - y) < max(1.6, face.pixels * 0.05)
            pixels[near] = colour
    return Image.fromarray(pixels.astype(np.uint8))


def find_points(image: Image.Image) -> list[tuple[tuple[float, float], ...]]:
    """The five points of each marked face, from its dots; none of a face one of whose dots is not in view."""
    pixels = np.asarray(image, np.float32)
    places = []
    for colour in COLOURS:
        near = (abs(pixels - np.array(colour, np.float32)) < 90).all(-1)
        labels, count = ndimage.label(near, np.ones((3, 3)))
        middles = ndimage.center_of_mass(near, labels, range(1, count + 1))
        places.append([(x + 0.5, y + 0.5) for y, x in middles])
    faces = []
    for eye in places[0]:
        others = [min(each, key=lambda place: math.dist(place, eye), default=None) for each in places[1:]]
        faces.append((eye, *others))
    return [face for face in faces if None not in face]


class Marked:
    """The finder, as a kind. `looked` counts the photos it was shown in this process."""

    looked: ClassVar[int] = 0
    interrupted_at: ClassVar[int | None] = None
    version = "marked-1"

    class Config(KindConfig, frozen=True):
        kind: Literal["support.marked_faces:Marked"] = "support.marked_faces:Marked"

    @staticmethod
    def build(config: Config) -> Marked:
        return Marked()

    def check(self) -> None: ...

    def find(self, image: Image.Image, smallest_pixels: float) -> list[FoundFace]:
        if Marked.looked == Marked.interrupted_at:
            raise KeyboardInterrupt
        Marked.looked += 1
        found = [points for points in find_points(image) if face_size(points) >= smallest_pixels]
        return [FoundFace((0, 0, image.width, image.height), points, 1.0) for points in found]
