"""The residual network that dlib recognises faces with: 150 x 150 pixels to 128 numbers.

King 2017 (http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html), `anet_type` of dlib's
`dnn_face_recognition_ex.cpp`: a ResNet of 29 convolutions after He et al. 2016 (arXiv:1512.03385), trained so
that two faces of one person lie within 0.6 of one another. Affine layers are folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegen.shapes import Maps

INPUT_PIXELS = 150
WIDTH = 128  # of what it gives
STEM_CHANNELS, STEM_KERNEL = 32, 7
_MEAN, _SCALE = (122.782, 117.001, 104.298), 256.0
_BLOCKS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first of them halves the map."""


class Block(nn.Module):
    """`relu(x + conv(relu(conv(x))))`; one that halves adds to means over 2 x 2 places.

    As in dlib, a map that is smaller or has fewer channels than the one it is added to counts as zero there.
    """

    def __init__(self, in_channels: int, out_channels: int, *, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.halves = halves

    def forward(self, x: Maps) -> Float[Tensor, "B out h w"]:
        hidden = self.conv2(F.relu(self.conv1(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2)
        rows, columns = x.shape[2] - hidden.shape[2], x.shape[3] - hidden.shape[3]
        hidden = F.pad(hidden, (0, columns, 0, rows))
        x = F.pad(x, (0, 0, 0, 0, 0, hidden.shape[1] - x.shape[1]))
        return F.relu(x + hidden)


class FaceEncoder(nn.Module):
    """Aligned faces (B, 3, 150, 150), pixels from 0 to 255, to vectors (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, STEM_KERNEL, stride=2)
        blocks: list[nn.Module] = []
        before = STEM_CHANNELS
        for channels, count, halves in _BLOCKS:
            for number in range(count):
                blocks.append(Block(before, channels, halves=halves and number == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.embed = nn.Linear(before, WIDTH, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    @property
    def convolutions(self) -> Sequence[nn.Conv2d]:
        """In the order that images pass through them."""
        return [part for part in self.modules() if isinstance(part, nn.Conv2d)]

    def forward(self, pixels: Float[Tensor, "B 3 150 150"]) -> Float[Tensor, "B 128"]:
        x = (pixels - self.get_buffer("mean")) / _SCALE
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        return self.embed(self.blocks(x).mean((2, 3)))
