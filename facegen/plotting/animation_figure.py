"""Moving pictures: which step each frame shows, how long it stands, and frames as a file's bytes.

Letters: F frames, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec

import numpy as np

from facegen.errors import MissingModelError, UsageError
from facegen.plotting.animation_files import apng_bytes, gif_bytes, mp4_bytes, webp_bytes
from facegen.plotting.options import Easing

EASINGS: tuple[Easing, ...] = ("linear", "ease-in-out")
ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".mp4")
FASTEST = {".gif": 50.0}  # below 20 ms players of GIF fall back to 100 ms
FPS_LIMITS = (0.1, 60.0)
MOST_SECONDS = 60.0  # on the last frame: PNG's delays end at 65.5 s


def eased(positions: np.ndarray, easing: Easing) -> np.ndarray:
    """Positions in [0, 1] moved along the easing, which keeps 0 and 1 and the order.

    "ease-in-out" is 3 p^2 - 2 p^3: slow at both ends, half as fast again in the middle.
    """
    return positions if easing == "linear" else positions**2 * (3 - 2 * positions)


def frame_steps(frames: int, steps: int, easing: Easing) -> list[int]:
    """The step that each of F frames shows, from 0 to S, never going back."""
    return np.rint(steps * eased(np.linspace(0, 1, frames), easing)).astype(int).tolist()


def frame_durations(frames: int, fps: float, hold: float, unit: float = 0.001) -> list[int]:
    """How many units of `unit` seconds each frame stands: 1 / fps, the last one `hold` seconds more.

    Rounding is spread over the frames, so that every frame begins within half a unit of its time and the sum
    is that of F / fps + hold.
    """
    starts = [round(number / fps / unit) for number in range(frames)]
    ends = [*starts[1:], round((frames / fps + hold) / unit)]
    return [end - start for start, end in zip(starts, ends, strict=True)]


def check_animation(suffix: str, fps: float, hold: float) -> None:
    """Refuse what cannot be written as asked, before anything is drawn.

    Raises:
        UsageError: a rate or time out of range.
        MissingModelError: .mp4 without the package that writes it.
    """
    low, high = FPS_LIMITS[0], FASTEST.get(suffix, FPS_LIMITS[1])
    if not low <= fps <= high:
        more = " for GIF, which players show no faster" if suffix in FASTEST else ""
        raise UsageError(f"--fps must be from {low:g} to {high:g}{more}, not {fps:g}.")
    if not 0 <= hold <= MOST_SECONDS:
        raise UsageError(f"--hold must be from 0 to {MOST_SECONDS:g} seconds, not {hold:g}.")
    if suffix == ".mp4" and find_spec("av") is None:
        raise MissingModelError(
            "Writing .mp4 needs the package 'av', which is not installed.",
            hint="Install it: pip install 'facegen[video]'; or choose --out with .gif, .webp or .png.",
        )


def animation_bytes(frames: np.ndarray, suffix: str, fps: float, hold: float = 0.0) -> bytes:
    """Frames uint8 (F, H, W, 3) as a file of `suffix` ".gif", ".webp", ".png" (APNG) or ".mp4".

    Every frame stands 1 / fps seconds and the last one `hold` seconds more, over and over. WebP and PNG are
    lossless; a GIF's frames have 256 colours each; MP4 is H.264, where the last frame is repeated to hold it.

    Raises:
        UsageError, MissingModelError: as `check_animation`.
        ValueError: another suffix, or no frames.
    """
    if suffix not in ANIMATION_SUFFIXES or not len(frames):
        raise ValueError(f"an animation needs frames and one of {', '.join(ANIMATION_SUFFIXES)}")
    check_animation(suffix, fps, hold)
    if suffix == ".mp4":
        held = np.repeat(frames[-1:], round(hold * fps), axis=0)
        return mp4_bytes(np.concatenate([frames, held]), Fraction(fps).limit_denominator(1001))
    if suffix == ".gif":
        return gif_bytes(frames, frame_durations(len(frames), fps, hold, 0.01))
    write = webp_bytes if suffix == ".webp" else apng_bytes
    return write(frames, frame_durations(len(frames), fps, hold))


def mosaic(images: Sequence[np.ndarray] | np.ndarray, scale: int = 1, gap: int = 2) -> np.ndarray:
    """One picture (H, W, 3) of uint8 images (N, h, w, 3): one as it is, several in a square grid."""
    images = np.repeat(np.repeat(np.asarray(images), scale, axis=1), scale, axis=2)
    count, height, width = images.shape[:3]
    columns = int(np.ceil(count**0.5))
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        page[top : top + height, left : left + width] = image
    return page
