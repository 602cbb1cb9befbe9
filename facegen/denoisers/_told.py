"""What denoisers are given: samples of a shape they can take, and conditions as they were built for them.

Letters: B batch, C channels, H/W rows and columns, L condition tokens, D features, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from facegen.errors import UsageError
from facegen.types import Conditioning, SampleSpec


def map_shape(sample: SampleSpec, kind: str) -> tuple[int, int, int]:
    """(C, H, W) of samples that are maps.

    Raises:
        UsageError: they are not.
    """
    if len(sample.shape) != 3:
        raise UsageError(
            f"Denoiser '{kind}' needs samples (C, H, W), not {sample.shape}.",
            hint="For vectors: --set denoiser.kind=vector_mlp",
        )
    channels, height, width = sample.shape
    return channels, height, width


def check_levels(height: int, width: int, num_levels: int, option: str, patch_size: int = 1) -> None:
    """See to it that a map can be cut into patches and halved from level to level.

    Raises:
        UsageError: it cannot; `option` is the one that says how many levels there are.
    """
    factor = patch_size * 2 ** (num_levels - 1)
    if height % factor or width % factor:
        patches = f" and patches of {patch_size}" if patch_size > 1 else ""
        raise UsageError(
            f"A U-Net of {num_levels} levels{patches} needs height and width divisible by {factor}, "
            f"not {height}x{width}.",
            hint=f"Use fewer denoiser.{option}, or another image size.",
        )


def check_attention(widths: Sequence[int], levels: Iterable[int], divisor: int, option: str) -> None:
    """See to it that the levels that attend are there, and their channels divisible by that of `option`.

    Raises:
        ValueError: one is not.
    """
    for level in levels:
        if not 0 <= level < len(widths):
            raise ValueError(f"attention level {level} does not exist; levels are 0 to {len(widths) - 1}")
        if widths[level] % divisor:
            raise ValueError(f"{widths[level]} channels that attend must be divisible by {option} {divisor}")


def tokens_of(conditioning: Conditioning) -> Tensor:
    """The condition tokens (B, L, D).

    Raises:
        ValueError: there are none.
    """
    if conditioning.tokens is None:
        raise ValueError("this denoiser was built for condition tokens, and got none")
    return conditioning.tokens


def vector_of(conditioning: Conditioning) -> Tensor:
    """The condition vector (B, D).

    Raises:
        ValueError: there is none.
    """
    if conditioning.vector is None:
        raise ValueError("this denoiser was built for a conditioning vector, and got none")
    return conditioning.vector


def time_and_vector(
    time: nn.Module, vector_in: nn.Module | None, timestep: Tensor, conditioning: Conditioning
) -> Tensor:
    """The embedded timestep (B, E), and added to it the embedded vector where the denoiser takes one.

    Raises:
        ValueError: it takes one, and there is none.
    """
    if vector_in is None:
        return time(timestep)
    return time(timestep) + vector_in(vector_of(conditioning))
