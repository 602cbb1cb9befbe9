"""MTCNN: three small networks, each looking closer at what the one before let through.

Zhang et al., "Joint Face Detection and Alignment Using Multi-task Cascaded Convolutional Networks", 2016
(https://arxiv.org/abs/1604.02878). Networks and weights are facenet-pytorch's (MIT), which brings them along.
Its own cascade is not used: it needs torchvision's compiled operators, which are missing beside a CPU-only
torch, and turns the whole photo into floats.

Letters: N candidates; boxes (N, 4) are left, top, right, bottom in pixels of the photo.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from facegen.compat import guard_torchvision
from facegen.config.kinds import KindConfig
from facegen.errors import MissingModelError
from facegen.formats.faces import FaceSquare, Points, cut_face, face_size, face_square
from facegen.types import FoundFace

Floats = NDArray[Any]

_CELL_PIXELS = 12  # what a place of the first network's map sees
_STRIDE_PIXELS = 2  # how far to the next
_NO_BOXES: Floats = np.zeros((0, 4), np.float32)
_NO_SCORES: Floats = np.zeros(0, np.float32)
_NO_POINTS: Floats = np.zeros((0, 5, 2), np.float32)
_SHRINK = 0.709  # from one layer of the pyramid to the next
_FIRST, _SECOND = 0.6, 0.7  # probabilities that the first two networks ask for, as published
_SIDES = {"rnet": 24, "onet": 48}
_MIRRORED = [1, 0, 2, 4, 3]  # which point is which in a mirror
_BATCH = 256
_STRIP_PIXELS = 1 << 19
_BOX_OF_FACE = 0.9  # the side of MTCNN's box over a face's size as `formats.faces.face_size` measures it


class Config(KindConfig, frozen=True):
    """`confidence` is the probability that the last network has to give."""

    kind: Literal["mtcnn"] = "mtcnn"
    confidence: float = Field(default=0.9, gt=0, lt=1)


class Mtcnn:
    """Finds faces that look at the camera or a little aside, tilted by 30 degrees at most."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.version = f"mtcnn-2 {config.confidence:g}"

    def check(self) -> None:
        """Load the networks.

        Raises:
            MissingModelError: facenet-pytorch is not installed.
        """
        _networks()

    def find(self, image: Image.Image, smallest_pixels: float) -> list[FoundFace]:
        """Every face of an RGB photo whose size is `smallest_pixels` or more, the surest first."""
        with torch.inference_mode():
            boxes = self._look_over(image, smallest_pixels * _BOX_OF_FACE)
            boxes, scores, _ = self._look_closer("rnet", image, boxes, _SECOND)
            boxes = boxes[_kept(boxes, scores, 0.7)]
            boxes, scores, points = self._look_closer("onet", image, boxes, self.config.confidence)
            kept = _kept(boxes, scores, 0.6, of_smaller=True)
            seen = _look_upright(image, [_pairs(points[i]) for i in kept])
        return [
            FoundFace(_numbers(boxes[i]), upright, float(scores[i]))
            for i, upright in zip(kept, seen, strict=True)
        ]

    def _look_over(self, image: Image.Image, smallest_pixels: float) -> Floats:
        """The first network over a pyramid of smaller and smaller copies -> boxes (N, 4)."""
        scale = _CELL_PIXELS / smallest_pixels
        found, found_scores = [_NO_BOXES], [_NO_SCORES]
        while min(image.size) * scale >= _CELL_PIXELS:
            width, height = (max(_CELL_PIXELS, round(side * scale)) for side in image.size)
            copy = image.resize((width, height), Image.Resampling.BOX, reducing_gap=4.0)
            boxes, scores = _scan(copy)
            kept = _kept(boxes, scores, 0.5)
            found.append(boxes[kept] / np.float32(scale))
            found_scores.append(scores[kept])
            scale *= _SHRINK
        boxes = np.concatenate(found)
        return boxes[_kept(boxes, np.concatenate(found_scores), 0.7)]

    def _look_closer(
        self, name: str, image: Image.Image, boxes: Floats, confidence: float
    ) -> tuple[Floats, Floats, Floats]:
        """One of the later networks at each box -> boxes (N, 4), probabilities (N,), points (N, 5, 2)."""
        squares = np.round(_squared(boxes)).astype(int)
        squares = squares[squares[:, 2] > squares[:, 0]]  # what was moved may have shrunk to nothing
        side = _SIDES[name]
        kept_boxes, kept_scores = [_NO_BOXES], [_NO_SCORES]
        kept_points = [_NO_POINTS]
        for start in range(0, len(squares), _BATCH):
            chunk = squares[start : start + _BATCH]
            cut = [
                image.crop(tuple(box)).resize((side, side), Image.Resampling.BOX, reducing_gap=4.0)
                for box in chunk.tolist()
            ]
            offsets, *points, chances = _networks()[name](_tensor(cut))
            passed = (chances[:, 1] >= confidence).numpy()
            square = chunk[passed].astype(np.float32)
            kept_boxes.append(_moved(square, offsets.numpy()[passed]))
            kept_scores.append(chances[:, 1].numpy()[passed])
            if points:
                sides = (square[:, 2:] - square[:, :2])[:, None]
                kept_points.append(square[:, None, :2] + _shares(points[0])[passed] * sides)
        return np.concatenate(kept_boxes), np.concatenate(kept_scores), np.concatenate(kept_points)


build = Mtcnn


@cache  # once a process
def _networks() -> dict[str, Any]:
    guard_torchvision()
    try:
        found = import_module("facenet_pytorch.models.mtcnn")
    except ImportError as error:
        raise MissingModelError(
            f"Faces are found by MTCNN, which is not installed ({error}).",
            hint="pip install 'facegen[faces]'; the weights come with it.",
        ) from error
    return {"pnet": found.PNet().eval(), "rnet": found.RNet().eval(), "onet": found.ONet().eval()}


def _scan(copy: Image.Image) -> tuple[Floats, Floats]:
    """The first network over one copy -> boxes (N, 4) in its pixels, probabilities (N,).

    It goes in strips, each as far into the next as a cell is wider than a stride, so that the largest photo
    takes no more memory than a small one.
    """
    width, height = copy.size
    step = max(1, _STRIP_PIXELS // width // _STRIDE_PIXELS) * _STRIDE_PIXELS
    found, found_scores = [_NO_BOXES], [_NO_SCORES]
    for top in range(0, height - _CELL_PIXELS + 1, step):
        bottom = min(height, top + step + _CELL_PIXELS - _STRIDE_PIXELS)
        offsets, chances = _networks()["pnet"](_tensor([copy.crop((0, top, width, bottom))]))
        rows, columns = torch.nonzero(chances[0, 1] >= _FIRST, as_tuple=True)
        corners = torch.stack([columns, rows], 1).float() * _STRIDE_PIXELS + torch.tensor([0.0, float(top)])
        boxes = torch.cat([corners, corners + _CELL_PIXELS], 1).numpy()
        found.append(_moved(boxes, offsets[0][:, rows, columns].T.numpy()))
        found_scores.append(chances[0, 1, rows, columns].numpy())
    return np.concatenate(found), np.concatenate(found_scores)


def _look_upright(image: Image.Image, faces: list[Points]) -> list[Points]:
    """The last network again, at each face turned upright and at its mirror image: the mean of both."""
    if not faces:
        return []
    side = _SIDES["onet"]
    squares = [_around(points) for points in faces]
    cut = _tensor([cut_face(image, square, side) for square in squares])
    shares = _shares(_networks()["onet"](torch.cat([cut, cut.flip(3)]))[1])
    here, mirrored = shares[: len(faces)], shares[len(faces) :][:, _MIRRORED]
    mirrored[:, :, 0] = 1 - mirrored[:, :, 0]
    return [
        tuple(square.from_square((x * side, y * side), side) for x, y in points)
        for square, points in zip(squares, ((here + mirrored) / 2).tolist(), strict=True)
    ]


def _around(points: Points) -> FaceSquare:
    """A square as large as the face, around the middle of eyes and mouth."""
    middle = sum(complex(*points[number]) for number in (0, 1, 3, 4)) / 4
    return FaceSquare(middle.real, middle.imag, face_size(points), face_square(points, "ffhq").tilt)


def _shares(points: torch.Tensor) -> Floats:
    """The last network's points (N, 10), five x and then five y -> (N, 5, 2), as shares of the square."""
    return points.numpy().reshape(-1, 2, 5).transpose(0, 2, 1)


def _tensor(images: list[Image.Image]) -> torch.Tensor:
    """RGB images of one size -> (N, 3, H, W) in about [-1, 1], as the networks were trained."""
    stacked = np.stack([np.asarray(image, np.float32) for image in images])
    return torch.from_numpy((stacked - 127.5) / 128).permute(0, 3, 1, 2)


def _moved(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes moved by `offsets` (N, 4), which are shares of their width and height."""
    sides = (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]]
    return boxes + offsets * sides


def _squared(boxes: Floats) -> Floats:
    """The squares around the middles of boxes, as wide as their longer sides."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], 1)


def _kept(boxes: Floats, scores: Floats, overlap: float, *, of_smaller: bool = False) -> list[int]:
    """Non-maximum suppression: indices of boxes, the surest first, none of which covers a surer one.

    `overlap` is a share of the union, or of the smaller box.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        first, order = int(order[0]), order[1:]
        kept.append(first)
        low = np.maximum(boxes[order, :2], boxes[first, :2])
        high = np.minimum(boxes[order, 2:], boxes[first, 2:])
        shared = (high - low).clip(0).prod(1)
        least = np.minimum(areas[order], areas[first])
        whole = least if of_smaller else areas[order] + areas[first] - shared
        order = order[shared <= overlap * whole]
    return kept


def _numbers(box: Floats) -> tuple[float, float, float, float]:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom


def _pairs(points: Floats) -> Points:
    return tuple((x, y) for x, y in points.tolist())
