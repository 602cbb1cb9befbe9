"""One face drawn with its attention recorded at some of the steps.

Letters: T cells of a layer's map, L condition tokens, h/w rows and columns of cells, H/W of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facegen.errors import UsageError, did_you_mean
from facegen.models.generator import FaceGenerator
from facegen.nn.attention_recording import AttentionMap, Kind, attention_layers, record_attention, row_told
from facegen.plotting.requested import Requested, evenly, pictures


@dataclass(frozen=True)
class Frame:
    """A step of the sampler: the face predicted at it, uint8 (H, W, 3), and its maps by layer.

    `noise_level` is t/T in [0, 1]. Maps are means over heads: (T, T) between cells, (T, L) to tokens.
    """

    step: int
    noise_level: float
    face: np.ndarray
    maps: dict[str, np.ndarray]


@dataclass(frozen=True)
class Walk:
    """Frames from noise to `face`, uint8 (H, W, 3); layers in the order they run, and their cells (h, w)."""

    frames: tuple[Frame, ...]
    layers: tuple[str, ...]
    cells: dict[str, tuple[int, int]]
    face: np.ndarray


def kinds_of(denoiser: Any) -> tuple[Kind, ...]:
    """What can be drawn of a denoiser: attention between cells, to condition tokens, both or nothing."""
    found = set(attention_layers(denoiser).values())
    if getattr(denoiser, "in_context", False):  # tokens stand among the cells
        found.add("cross")
    return tuple(kind for kind in ("cross", "self") if kind in found)


def layers_of(denoiser: Any, kind: Kind) -> list[str]:
    """Names of the layers that attend so."""
    if getattr(denoiser, "in_context", False):
        kind = "self"
    return [name for name, each in attention_layers(denoiser).items() if each == kind]


def chosen_layers(layers: str, kind: Kind, known: Sequence[str]) -> int | list[str]:
    """How many layers to draw, or which.

    Raises:
        UsageError: no number from 1 up, or a name that is not `known`.
    """
    if layers.strip().lstrip("+-").isdigit():
        if int(layers) < 1:
            raise UsageError(f"--layers must be at least 1, not {layers}.")
        return int(layers)
    names = [name.strip() for name in layers.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(
                f"--layers: there is no layer '{name}' with {kind}-attention.{did_you_mean(name, known)}",
                hint=f"Give a number, or names of these: {', '.join(known)}.",
            )
    return names


def recorded_walk(
    requested: Requested, inputs: Any, seed: int, kind: Kind, layers: int | list[str], frames: int
) -> Walk:
    """Draw one face, `inputs` (1, ...), with the attention of its conditional row recorded at `frames` steps.

    Of a number of layers those are taken that lie evenly between the first and the last that run; of one, the
    middle one.
    """
    generator, total = requested.generator, requested.settings.steps
    wanted = set(evenly(0, total - 1, frames))
    names = layers if isinstance(layers, list) else layers_of(generator.denoiser, kind)
    trajectory = generator.trajectory(inputs, [seed], requested.settings)
    choose = row_told(generator.conditioning(inputs))
    seen, x0, found = [], torch.empty(0), []
    with requested.progress.stage("Recording attention", total=total) as bar:
        for index in range(total):
            if index not in wanted:
                x0 = next(trajectory).x0
            else:
                with record_attention(
                    _network(generator), layers=names, rows=choose, average_heads=True
                ) as recording:
                    x0 = next(trajectory).x0
                found = _first_call(recording.maps)
                if not seen and isinstance(layers, int):
                    found = [found[i] for i in _spread(len(found), layers)]
                    names = [each.layer for each in found]
                seen.append((index, found, pictures(generator.decode(x0))[0]))
            bar.advance()
    cells = {each.layer: _cells(each, generator, inputs) for each in found}
    return Walk(
        tuple(_frame(generator, index, maps, face, kind, cells) for index, maps, face in seen),
        tuple(names),
        cells,
        pictures(generator.decode(x0))[0],
    )


def _network(generator: FaceGenerator) -> nn.Module:
    assert isinstance(generator.denoiser, nn.Module)
    return generator.denoiser


def _spread(total: int, wanted: int) -> list[int]:
    """`wanted` numbers below `total`, or all of them if there are fewer."""
    return [total // 2] if wanted == 1 else list(dict.fromkeys(evenly(0, total - 1, wanted)))


def _first_call(maps: list[AttentionMap]) -> list[AttentionMap]:
    """Those at the step's own timestep, which a sampler of second order asks before the next one's."""
    return [each for each in maps if each.call == maps[0].call]


def _frame(
    generator: FaceGenerator,
    step: int,
    maps: list[AttentionMap],
    face: np.ndarray,
    kind: Kind,
    cells: dict[str, tuple[int, int]],
) -> Frame:
    timestep = maps[0].timestep
    assert timestep is not None
    parts = {}
    for each in maps:
        rows, columns = cells[each.layer]
        weights: Tensor = each.weights[0, 0, : rows * columns]
        if each.kind == "self":
            weights = weights[:, : rows * columns] if kind == "self" else weights[:, rows * columns :]
        parts[each.layer] = weights.numpy()
    return Frame(step, float(timestep[0]) / generator.process.num_timesteps, face, parts)


def _cells(each: AttentionMap, generator: FaceGenerator, inputs: Any) -> tuple[int, int]:
    """Rows and columns of the cells that ask: the sample's shape, divided alike both ways."""
    queries = each.weights.shape[2]
    if each.kind == "self" and getattr(generator.denoiser, "in_context", False):
        tokens = generator.conditioning(inputs).tokens
        queries -= 0 if tokens is None else tokens.shape[1]
    _, height, width = generator.sample_spec.shape
    factor = round((height * width / queries) ** 0.5)
    return height // factor, width // factor
