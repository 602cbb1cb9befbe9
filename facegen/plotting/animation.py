"""`facegen plot animation`: faces appearing out of noise, or turning from one class into the next.

Letters: F frames, S steps, K terms of a walk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facegen.errors import MissingModelError, UsageError
from facegen.formats.images import image_grid
from facegen.plotting.animation_files import apng_bytes, gif_bytes, mp4_bytes, webp_bytes
from facegen.plotting.options import Easing, Motion
from facegen.plotting.requested import Requested, check_frames, run_of, words_of
from facegen.plotting.saving import PlotSummary, figure_path, save_content
from facegen.protocols import Progress
from facegen.sampling.request import check_takes
from facegen.sampling.sample import SampleOptions

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".mp4")
FASTEST = {".gif": 50.0}  # below 20 ms players of GIF fall back to 100 ms
FPS_LIMITS = (0.1, 60.0)
MOST_SECONDS = 60.0  # on the last frame: PNG's delays end at 65.5 s
EVERY_CLASS = "all"
MOST_FRAMES = 1000
GAP = 2  # pixels between the faces of a grid
WALK_FRAMES = 24
COLOURS_TOLD = {".gif": "256 a frame", ".mp4": "H.264, lossy"}


def plot_animation(
    run: Path,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    motion: Motion | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Write an animation of `options.count` faces (1; several stand in a grid) as .gif, .webp, .png or .mp4.

    The last frame is the face that `facegen sample` gives for the same request and seed: pixel for pixel in
    WebP and PNG, with 256 colours in GIF, about so in MP4. A class, its number of frames and their rate:

        motion = Motion(frames=24, fps=12, easing="ease-in-out")
        plot_animation(
            Path("runs/utkface"), Path("asian.gif"), options=SampleOptions(class_name="Asian"), motion=motion
        )

    and through all classes: `Motion(walk=("all",), frames=60, fps=20)`.

    Raises:
        UsageError: frames, rate or times out of range, a wrong suffix, or a request that does not fit.
        MissingModelError: the run cannot be loaded, or .mp4 without the package 'av'.
        StorageError, DataError: the run cannot be loaded, or the disk is full.
    """
    motion = motion or Motion()
    path = figure_path(out, run_of(run), "animation", ANIMATION_SUFFIXES)
    _check(motion, path)
    requested = Requested.open(run, options, progress)
    pictures, table = _walk(requested, motion) if motion.walk else _denoising(requested, motion)
    return save_animation(pictures, table, path, fps=motion.fps, hold=motion.hold, csv=csv)


def save_animation(
    pictures: np.ndarray, table: pd.DataFrame, path: Path, *, fps: float, hold: float, csv: bool
) -> PlotSummary:
    """Write uint8 frames (F, H, W, 3) as an animation, and their rows of `table` beside it if `csv`.

    Raises:
        StorageError: the disk is full or does not let it be written.
    """
    suffix, (count, height, width) = path.suffix.lower(), pictures.shape[:3]
    begins = (np.arange(count) / fps).round(4)
    table = table.rename_axis("frame").reset_index().assign(begins_at_second=begins)
    facts = {
        "Frames": count,
        "Seconds": round(count / fps + hold, 3),
        "Size": f"{width}x{height}",
        "Colours": COLOURS_TOLD.get(suffix, "all, lossless"),
    }
    return save_content(animation_bytes(pictures, suffix, fps, hold), path, table if csv else None, facts)


def _check(motion: Motion, path: Path) -> None:
    if motion.frames is not None:
        check_frames(motion.frames)
        if motion.frames > MOST_FRAMES:
            raise UsageError(f"--frames must be at most {MOST_FRAMES}, not {motion.frames}.")
    if motion.scale < 1:
        raise UsageError(f"--scale must be at least 1, not {motion.scale}.")
    check_animation(path.suffix.lower(), motion.fps, motion.hold)


def _denoising(requested: Requested, motion: Motion) -> tuple[np.ndarray, pd.DataFrame]:
    total = requested.settings.steps
    shown = frame_steps(motion.frames or total + 1, total, motion.easing)
    plan = requested.plan(1)
    seeds = [face.seed for face in plan.faces]
    pages, levels = {}, {}
    for state in requested.states(plan.inputs, seeds, set(shown)):
        latents = state.x_t if motion.what == "x_t" else state.x0
        pages[state.step] = mosaic(requested.decoded(latents), motion.scale)
        levels[state.step] = state.noise_level
    table = pd.DataFrame({"step": shown, "noise_level": [levels[step] for step in shown]})
    return np.stack([pages[step] for step in shown]), table


def _walk(requested: Requested, motion: Motion) -> tuple[np.ndarray, pd.DataFrame]:
    """Finished faces of one noise each, from term to term in `frames`; each step of the way is eased."""
    if words_of(requested.options):
        raise UsageError(
            "--walk names what is asked for; leave out --prompt, --attributes, --class and --like."
        )
    if motion.what == "x0":
        raise UsageError("--walk shows finished faces; --what x0 is of the way from noise.")
    terms = _terms(requested, motion.walk)
    weights = walk_weights(motion.frames or WALK_FRAMES, len(terms), motion.easing)
    images = requested.walk(terms, weights, requested.seeds(1))
    pages = [mosaic(images[:, number], motion.scale) for number in range(len(weights))]
    table = pd.DataFrame(weights.numpy().round(4), columns=terms)
    return np.stack(pages), table


def walk_weights(frames: int, terms: int, easing: Easing) -> Tensor:
    """Weights (F, K) that lead from the first of K terms over every one to the last, eased between two.

    Raises:
        UsageError: fewer frames than terms, so that some would not be reached.
    """
    if frames < terms:
        raise UsageError(f"--frames {frames} cannot reach {terms} classes; use {terms} or more.")
    stops = np.rint(np.linspace(0, frames - 1, terms)).astype(int)  # frames at which a term stands alone
    weights = torch.zeros(frames, terms)
    for number, (start, stop) in enumerate(pairwise(stops)):
        share = torch.from_numpy(eased(np.linspace(0, 1, stop - start + 1), easing)).float()
        weights[start : stop + 1, number : number + 2] = torch.stack([1 - share, share], dim=1)
    return weights


def _terms(requested: Requested, walk: Sequence[str]) -> list[str]:
    check_takes(requested.generator, "blend")
    terms: list[str] = list(walk)
    if terms == [EVERY_CLASS]:
        terms[:] = requested.generator.classes
        if not terms:
            raise UsageError(
                "--walk all walks over classes, and this model has none.",
                hint='Name what to walk over: --walk "Smiling,Eyeglasses,Wearing_Hat"',
            )
    if len(terms) < 2:
        raise UsageError("--walk needs at least two to walk between.", hint="Such as --walk Asian,White.")
    return terms


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
    begins = [round(number / fps / unit) for number in range(frames)]
    return np.diff([*begins, round((frames / fps + hold) / unit)]).tolist()


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
    """
    if suffix == ".mp4":
        held = np.repeat(frames[-1:], round(hold * fps), axis=0)
        return mp4_bytes(np.concatenate([frames, held]), Fraction(fps).limit_denominator(1001))
    if suffix == ".gif":
        return gif_bytes(frames, frame_durations(len(frames), fps, hold, 0.01))
    write = {".webp": webp_bytes, ".png": apng_bytes}[suffix]
    return write(frames, frame_durations(len(frames), fps, hold))


def mosaic(images: np.ndarray, scale: int = 1) -> np.ndarray:
    """One picture (H, W, 3) of uint8 images (N, h, w, 3): one as it is, several in a square grid."""
    grid = image_grid(
        torch.from_numpy(images).movedim(-1, 1), math.ceil(len(images) ** 0.5), padding=GAP, scale=scale
    )
    return np.asarray(grid)[GAP:-GAP, GAP:-GAP]
