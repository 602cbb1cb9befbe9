"""`facegen plot animation`: faces appearing out of noise, or turning from one class into the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from facegen.errors import UsageError
from facegen.formats.files import atomic_write
from facegen.plotting.animation_figure import (
    ANIMATION_SUFFIXES,
    Easing,
    animation_bytes,
    check_animation,
    eased,
    frame_steps,
    mosaic,
)
from facegen.plotting.options import Motion
from facegen.plotting.requested import Requested, check_frames, subject_of, words_of
from facegen.plotting.saving import PlotSummary, figure_path
from facegen.protocols import Progress
from facegen.sampling.request import check_takes, say_reading
from facegen.sampling.sample import SampleOptions

EVERY_CLASS = "all"
MOST_FRAMES = 1000
WALK_FRAMES = 24
COLOURS_TOLD = {".gif": "256 a frame", ".mp4": "H.264, lossy"}


@dataclass(frozen=True)
class Frames:
    """The pictures (F, H, W, 3) of an animation and a row about each."""

    pictures: np.ndarray
    table: pd.DataFrame


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
    path = figure_path(out, subject_of(run), "animation", ANIMATION_SUFFIXES)
    _check(motion, path)
    requested = Requested.open(run, options, progress)
    frames = _walk(requested, motion) if motion.walk else _denoising(requested, motion)
    return save_animation(frames, path, fps=motion.fps, hold=motion.hold, csv=csv)


def save_animation(frames: Frames, path: Path, *, fps: float, hold: float, csv: bool) -> PlotSummary:
    """Write an animation, and the row about each frame beside it if `csv`.

    Raises:
        StorageError: the disk is full or does not let it be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix, count = path.suffix.lower(), len(frames.pictures)
    atomic_write(path, animation_bytes(frames.pictures, suffix, fps, hold))
    table = None
    if csv:
        table = path.with_suffix(".csv")
        seconds = np.arange(count) / fps
        numbered = frames.table.assign(frame=range(count), begins_at_second=seconds.round(4))
        atomic_write(table, numbered.set_index("frame").reset_index().to_csv(index=False))
    height, width = frames.pictures.shape[1:3]
    facts: dict[str, Any] = {
        "Frames": count,
        "Seconds": round(count / fps + hold, 3),
        "Size": f"{width}x{height}",
        "Colours": COLOURS_TOLD.get(suffix, "all, lossless"),
    }
    return PlotSummary(path, table, facts)


def _check(motion: Motion, path: Path) -> None:
    if motion.frames is not None:
        check_frames(motion.frames)
        if motion.frames > MOST_FRAMES:
            raise UsageError(f"--frames must be at most {MOST_FRAMES}, not {motion.frames}.")
    if motion.scale < 1:
        raise UsageError(f"--scale must be at least 1, not {motion.scale}.")
    check_animation(path.suffix.lower(), motion.fps, motion.hold)


def _denoising(requested: Requested, motion: Motion) -> Frames:
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
    return Frames(np.stack([pages[step] for step in shown]), table)


def _walk(requested: Requested, motion: Motion) -> Frames:
    """Finished faces of one noise each, from term to term in `frames`; each step of the way is eased."""
    if words_of(requested.options):
        raise UsageError(
            "--walk names what is asked for; leave out --prompt, --attributes, --class and --like."
        )
    if motion.what == "x0":
        raise UsageError("--walk shows finished faces; --what x0 is of the way from noise.")
    terms, parts = _parts(requested, motion.walk)
    weights = walk_weights(motion.frames or WALK_FRAMES, len(terms), motion.easing)
    images = requested.walk(parts, weights, requested.seeds(1))
    pages = [mosaic(images[:, number], motion.scale) for number in range(len(weights))]
    table = pd.DataFrame(weights.numpy().round(4), columns=list(terms))
    return Frames(np.stack(pages), table)


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


def _parts(requested: Requested, walk: Sequence[str]) -> tuple[tuple[str, ...], list[Tensor]]:
    generator = requested.generator
    check_takes(generator, "blend")
    terms = tuple(walk)
    if terms == (EVERY_CLASS,):
        terms = tuple(getattr(generator.conditioner, "classes", ()))
        if not terms:
            raise UsageError(
                "--walk all walks over classes, and this model has none.",
                hint='Name what to walk over: --walk "Smiling,Eyeglasses,Wearing_Hat"',
            )
    if len(terms) < 2:
        raise UsageError("--walk needs at least two to walk between.", hint="Such as --walk Asian,White.")
    readings = [generator.reading_of(term) for term in terms]
    for reading in readings:
        say_reading(generator, reading, requested.progress)
    return terms, [generator.inputs_for(reading) for reading in readings]
