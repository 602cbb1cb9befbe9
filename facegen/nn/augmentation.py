"""Random changes to a batch of training images: `Augmentation`, described by a few numbers an image, and
cheap ones: mirroring, and for classifiers shifts, erased boxes and mixes.

Letters: B batch, C channels, H/W rows and columns, A targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn import functional as F

from facegen.draws import Draws
from facegen.placing import constant, placed
from facegen.shapes import Images, Maps

PARAMETERS = ("flip", "rotation", "scale", "shift_x", "shift_y", "brightness", "contrast", "saturation")
NUM_PARAMETERS = len(PARAMETERS)
MOVED, COLOURED = slice(1, 5), slice(5, 8)  # of PARAMETERS
ERASED_SIDE = (0.125, 0.4)  # smallest and largest side of an erased box, as a share of the image's
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
Parameters = Float[Tensor, "B 8"]
FloatsOrBytes = Real[Tensor, "B C H W"]


@dataclass(frozen=True)
class Augmentation:
    """Draws what is done to each image of a batch, and does it.

    Fields are the options of a recipe's `data.augmentation`. Parameters are in [-1, 1], in units of
    what those allow at most; 0 is "untouched".
    """

    flip: bool
    rotation_degrees: float
    scale: tuple[float, float]
    shift: float
    brightness: float
    contrast: float
    saturation: float
    probability: float
    tell_model: bool

    def draw(self, draws: Draws) -> Parameters:
        """Parameters, independent per image: each operation is done with its probability. On the CPU."""
        amount = 2 * draws.uniform(NUM_PARAMETERS, device="cpu") - 1
        chance = draws.uniform(NUM_PARAMETERS, device="cpu")
        smallest, largest = self._log_scales()
        unit = max(-smallest, largest) or 1.0
        amount[:, 0] = 1.0
        amount[:, 2] = (smallest + 0.5 * (amount[:, 2] + 1) * (largest - smallest)) / unit
        probability = torch.full((NUM_PARAMETERS,), self.probability)
        probability[0] = 0.5
        return torch.where((chance < probability) & self._possible(), amount, 0.0)

    def apply(self, images: Images, parameters: Parameters) -> Images:
        """Images in [-1, 1] on any device, changed as `parameters` on the CPU say; zeros change not one bit.

        Mirrored, then turned (counter-clockwise), zoomed and shifted in one resampling (bicubic; what comes
        in from outside is the mirrored edge), then contrast, saturation and brightness, and clamped.
        """
        mirrored = (parameters[:, 0] > 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        for changed, change in ((MOVED, self._move), (COLOURED, self._colour)):
            which = parameters[:, changed].any(1).nonzero().squeeze(1)
            if len(which):
                there, told = which.to(images.device), parameters[which].to(images.device)
                images[there] = change(images[there], told)
        return images

    def _move(self, images: Images, parameters: Parameters) -> Images:
        """Each pixel is looked up where it came from: `affine_grid` wants the inverse of what is done."""
        smallest, largest = self._log_scales()
        _, rotation, scale, shift_x, shift_y = parameters[:, :5].unbind(1)
        angle = math.radians(self.rotation_degrees) * rotation
        zoom = torch.exp(-max(-smallest, largest) * scale)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        x, y = (2 * self.shift * shift for shift in (shift_x, shift_y))  # the side is 2 units long
        rows = [cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y]
        inverse = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = F.affine_grid(inverse, list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        return moved.clamp(-1, 1)  # bicubic interpolation overshoots at edges

    def _colour(self, images: Images, parameters: Parameters) -> Images:
        brightness, contrast, saturation = parameters[:, COLOURED, None, None, None].unbind(1)
        images = images * (1 + self.contrast * contrast)
        grey = (images * constant(LUMA, images).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = grey + (images - grey) * (1 + self.saturation * saturation)
        return (images + self.brightness * brightness).clamp(-1, 1)

    def _log_scales(self) -> tuple[float, float]:
        smallest, largest = self.scale
        return math.log(smallest), math.log(largest)

    def _possible(self) -> Bool[Tensor, " 8"]:
        """Which operations the configuration has at all."""
        zoomed = self.scale != (1.0, 1.0)
        sizes = (self.rotation_degrees, zoomed, self.shift, self.shift)
        colours = (self.brightness, self.contrast, self.saturation)
        return torch.tensor([bool(value) for value in (self.flip, *sizes, *colours)])


def mirrored(images: FloatsOrBytes, draws: Draws) -> FloatsOrBytes:
    """Each image mirrored or not, with equal chances."""
    return torch.where(draws.uniform(1, 1, 1, device=images.device) < 0.5, images.flip(-1), images)


def shifted(images: FloatsOrBytes, max_shift: int, draws: Draws) -> FloatsOrBytes:
    """Each image moved by up to `max_shift` whole pixels either way, edges repeated."""
    count, _, height, width = images.shape
    device = images.device
    chance = draws.uniform(2, device=device)
    down, right = ((2 * max_shift + 1) * chance).long().sub(max_shift).unsqueeze(2).unbind(1)  # (B, 1)
    rows = (torch.arange(height, device=device) + down).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width, device=device) + right).clamp(0, width - 1)  # (B, W)
    which = torch.arange(count, device=device)
    return images.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def erased(images: Maps, probability: float, draws: Draws) -> Maps:
    """Images in [-1, 1], a box of each made grey with `probability`.

    Zhong et al. 2020 (arXiv:1708.04896): no single spot may decide an answer.
    """
    *_, height, width = images.shape
    chance, side, top, left = draws.uniform(4, 1, device=images.device).unbind(1)  # (B, 1) each
    smallest, largest = ERASED_SIDE
    side = smallest + side * (largest - smallest)
    rows, columns = (
        torch.arange(n, device=images.device)[None] / n for n in (height, width)
    )  # (1, H), (1, W)
    in_rows = (rows >= top * (1 - side)) & (rows < top * (1 - side) + side)  # (B, H)
    in_columns = (columns >= left * (1 - side)) & (columns < left * (1 - side) + side)  # (B, W)
    box = in_rows[:, None, :, None] & in_columns[:, None, None, :] & (chance < probability)[:, None, None]
    return images.masked_fill(box, 0.0)


def mixed(
    images: Maps, targets: Float[Tensor, "B A"], alpha: float, draws: Draws
) -> tuple[Maps, Float[Tensor, "B A"]]:
    """Each image and its targets blended with its neighbour's, first with second, third with fourth and so
    on; shares are from Beta(alpha, alpha).

    Zhang et al. 2018 (arXiv:1710.09412). A target that is NaN in either is NaN in the mix. An image without a
    neighbour stays as it is.
    """
    from scipy.special import betaincinv  # 0.1 s that models without it need not wait

    chance = draws.uniform(device="cpu").double().numpy()
    share = placed(torch.tensor(betaincinv(alpha, alpha, chance), dtype=torch.float32), images.device)
    count = len(images)
    other = (torch.arange(count, device=images.device) ^ 1).clamp(max=count - 1)
    blend = share[:, None, None, None]
    images = blend * images + (1 - blend) * images[other]
    return images, share[:, None] * targets + (1 - share[:, None]) * targets[other]
