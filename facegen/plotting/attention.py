"""`facegen plot attention`: where the cells of a face look, and which look at a word, from noise to face.

Words as heat over the picture after Tang et al. 2023 (DAAM, arXiv:2210.04885): means over heads, enlarged to
the face. Recorded is the conditional row alone; the null row of guidance looks at something else.

Letters: S recorded steps, T cells of a layer's map, L condition tokens, h/w rows and columns of cells, H/W
height and width of the face in pixels.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from torch import nn

from facegen.errors import UsageError, did_you_mean
from facegen.models.generator import FaceGenerator
from facegen.nn.attention_recording import AttentionMap, Kind, attention_layers, record_attention, row_told
from facegen.plotting.image_table import image_table
from facegen.plotting.options import AttentionOptions
from facegen.plotting.requested import Requested, check_frames, evenly, pictures, run_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import COLOUR_MAP, Plot, in_style
from facegen.protocols import Progress, TokenConditioner
from facegen.sampling.plan import Plan
from facegen.sampling.sample import SampleOptions
from facegen.vocabulary.words import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = ((0.38, 0.48), (0.49, 0.7))  # about an eye and the mouth of an aligned face
MOST_WORDS = 9
NAME_LETTERS = 24
LOOKS = "seen from the\nframed cell"
FACE_PIXELS = 192  # a face is shown at least as large
OPACITY = 0.55  # of the heat over the face, which stays visible in grey
SCALE = f"0{' ' * 18}most"  # the bar is drawn in the gap
MOST_INCHES, BAR_LIFT_INCHES = 0.38, 0.05  # from the pictures, as far as "most" and its foot reach
BAR_INCHES = (0.53, 0.09)

NamedTokens = tuple[str, tuple[int, ...]]  # a word and the numbers of its tokens


@dataclass(frozen=True)
class Walk:
    """One face drawn with its attention recorded at S `steps`, counted from 0.

    `noise_levels` are t/T in [0, 1], `faces` those predicted at the steps, uint8 (S, H, W, 3), and `face` the
    finished one. `maps` are means over heads, by layer in the order they run: (S, h, w, T) between cells,
    (S, h, w, L) to tokens.
    """

    steps: list[int]
    noise_levels: list[float]
    faces: np.ndarray
    maps: dict[str, np.ndarray]
    face: np.ndarray


@dataclass(frozen=True)
class Series:
    """Shares of attention, `maps` (S, h, w), in one layer; `of` says whose or to what.

    `mark` is the cell (row, column) that looks, whose shares sum to 1; without it shares are those of a word.
    """

    layer: str
    of: str
    maps: np.ndarray
    mark: tuple[int, int] | None = None

    def heat(self, face: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, str]:
        """`values` (h, w) of this series over the face, and how much the largest of them is."""
        most = f"most {_percent(values.max())}"
        return heat(face, values, self.mark), most if self.mark else f"mean {_percent(values.mean())}\n{most}"


def plot_attention(
    run: Path,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    attention: AttentionOptions | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw one face and lay over it what was recorded while it was drawn.

    Attention of cells to each other: columns are steps, rows are layers and the places `at` that look.
    Attention to words: columns are words and rows layers, averaged over
    the steps; with `words`, columns are steps and rows are layers and words.

    Raises:
        UsageError: a model without such attention, an unknown layer or word, a place outside the picture,
            too few or too many frames, or a request this model cannot be asked.
        MissingModelError, StorageError, DataError: the run cannot be loaded.
    """
    wanted = attention or AttentionOptions()
    check_frames(wanted.frames)
    for x, y in wanted.at:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise UsageError(
                f"--at {x:g},{y:g} is outside the picture.",
                hint="X and Y are shares of its width and height from the upper left, such as 0.5,0.75.",
            )
    path = figure_path(out, run_of(run), "attention")
    requested = Requested.open(run, replace(options or SampleOptions(), count=1), progress)
    kind = _kind(requested, wanted)
    if wanted.frames > requested.settings.steps:
        raise UsageError(
            f"--frames {wanted.frames} is more than the {requested.settings.steps} steps.",
            hint=f"Use --frames {requested.settings.steps} or fewer, or more --steps.",
        )
    layers = chosen_layers(wanted.layers, kind, layers_of(requested.generator.network)[kind])
    plan = requested.plan(1)
    words = _words(requested.generator, plan, wanted.words) if kind == "cross" else []
    walk = recorded_walk(requested, plan.inputs, plan.faces[0].seed, kind, layers, wanted.frames)
    if kind == "cross" and not wanted.words:
        words = words_to_show(walk, words, list(plan.reading.labels), MOST_WORDS)
    series = word_series(walk, words) if kind == "cross" else cell_series(walk, wanted.at or POINTS)
    names = _names(requested.generator, plan)
    draw = _words_figure if kind == "cross" and not wanted.words else _time_figure
    title = f"{kind.title()}-attention of {requested.title}, seed {requested.options.seed}"
    facts = {
        "Attention": "of cells to words" if kind == "cross" else "of cells to each other",
        "Layers": ", ".join(walk.maps),
        "Frames": f"{wanted.frames} of {requested.settings.steps} steps",
        "Guidance": requested.settings.guidance_scale,
    }
    plot = Plot(draw(walk, series, names, title), table_of(walk, series))
    return save_plot(plot, path, csv=csv, facts=facts)


def _kind(requested: Requested, wanted: AttentionOptions) -> Kind:
    kinds = list(layers_of(requested.generator.network))
    network = type(requested.generator.network).__name__
    if not kinds:
        raise UsageError(
            f"The network {network} of this run has no attention.",
            hint="Most transformers and UNets have it, such as those of --preset celeba-attributes.",
        )
    if wanted.kind == "self" and wanted.words:
        raise UsageError("--word follows attention to words, which --kind self leaves out.")
    if wanted.kind == "cross" and wanted.at:
        raise UsageError("--at is a place that looks at other places, which --kind cross leaves out.")
    kind = wanted.kind or ("cross" if wanted.words else "self" if wanted.at else kinds[0])
    if kind in kinds:
        if kinds == ["self"] and wanted.kind is None:
            requested.progress.say(
                "This model has no cross-attention: its condition enters the norms. Drawn is self-attention."
            )
        return kind
    if kind == "cross":
        raise UsageError(
            f"The network {network} of this run has no cross-attention: its condition enters the norms, "
            "so no cell attends to a word or label.",
            hint="Use --kind self. Models of the presets text-ldm and attribute-ldm have cross-attention.",
        )
    raise UsageError(f"The network {network} of this run has no self-attention.", hint="Use --kind cross.")


def _words(generator: FaceGenerator, plan: Plan, followed: Sequence[str]) -> list[NamedTokens]:
    """The words of the request with their tokens, or those `followed`: all that are spelt so, together."""
    conditioner = generator.conditioner
    if isinstance(conditioner, TokenConditioner):
        words = list(conditioner.named_tokens(plan.reading))
    else:
        tokens = generator.conditioning(plan.inputs).tokens
        words = [(f"token {i}", (i,)) for i in range(0 if tokens is None else tokens.shape[1])]
    chosen = []
    for wish in followed:
        plain = readable(wish).strip().casefold()
        found = [word for word in words if readable(word[0]).strip().casefold() == plain]
        if not found:
            known = list(dict.fromkeys(text for text, _ in words))
            raise UsageError(
                f"--word: '{wish}' is not among what this model was told.{did_you_mean(wish, known)}",
                hint=f"Its words: {', '.join(known)}.",
            )
        chosen.append((found[0][0], tuple(number for _, numbers in found for number in numbers)))
    return chosen or words


def _names(generator: FaceGenerator, plan: Plan) -> dict[str, str]:
    """Beside each label of the model whether it was asked for, asked away, or left open."""
    names = {}
    for name in generator.attributes:
        value = plan.reading.labels.get(name, 0)
        answer = "yes" if value > 0 else "no" if value < 0 else "left open"
        names[name] = f"{readable(name)}\n{answer}"
    return names


def layers_of(denoiser: Any) -> dict[Kind, list[str]]:
    """Names of the layers in which cells attend to condition tokens and to each other, as far as they do."""
    kinds = attention_layers(denoiser)
    cross, own = ([name for name, each in kinds.items() if each == kind] for kind in ("cross", "self"))
    if getattr(denoiser, "in_context", False):  # tokens stand among the cells
        cross = own
    layers: dict[Kind, list[str]] = {"cross": cross, "self": own}
    return {kind: names for kind, names in layers.items() if names}


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
    assert isinstance(generator.network, nn.Module)
    steps = evenly(0, total - 1, frames)
    names = layers if isinstance(layers, list) else layers_of(generator.network)[kind]
    trajectory = generator.trajectory(inputs, [seed], requested.settings)
    told = generator.conditioning(inputs)
    among = 0 if told.tokens is None else told.tokens.shape[1]
    among *= getattr(generator.network, "in_context", False)
    x0, faces, levels, maps = torch.empty(0), [], [], []
    with requested.progress.stage("Recording attention", total=total) as bar:
        for index in range(total):
            if index not in steps:
                x0 = next(trajectory).x0
            else:
                watch = record_attention(
                    generator.network, layers=names, rows=row_told(told), average_heads=True
                )
                with watch as recording:
                    x0 = next(trajectory).x0
                # A sampler of second order asks at the step's own timestep first, then at the next one's.
                recorded = [each for each in recording.maps if each.call == recording.maps[0].call]
                if not maps and isinstance(layers, int):
                    names = [recorded[number].layer for number in _spread(len(recorded), layers)]
                maps.append({each.layer: _shares(each, kind, among, generator) for each in recorded})
                assert recorded[0].timestep is not None
                levels.append(float(recorded[0].timestep[0]) / generator.objective.path.num_timesteps)
                faces.append(pictures(generator.decode(x0))[0])
            bar.advance()
    by_layer = {name: np.stack([shares[name] for shares in maps]) for name in names}
    return Walk(steps, levels, np.stack(faces), by_layer, pictures(generator.decode(x0))[0])


def _spread(total: int, wanted: int) -> list[int]:
    """`wanted` numbers below `total`, or all of them if there are fewer."""
    return [total // 2] if wanted == 1 else list(dict.fromkeys(evenly(0, total - 1, wanted)))


def _shares(each: AttentionMap, kind: Kind, among: int, generator: FaceGenerator) -> np.ndarray:
    """(h, w, T) between the cells or (h, w, L) from them to the tokens, `among` of which follow the cells.

    Rows and columns of the cells are the sample's, divided alike both ways.
    """
    weights = each.weights[0, 0]
    count = len(weights) - among
    if each.kind == "self":
        weights = weights[:, :count] if kind == "self" else weights[:, count:]
    _, height, width = generator.sample_spec.shape
    factor = round((height * width / count) ** 0.5)
    return weights[:count].reshape(height // factor, width // factor, -1).numpy()


def cell_series(walk: Walk, places: Sequence[tuple[float, float]]) -> list[Series]:
    """For each layer where the cells at `places`, (x, y) in [0, 1], look."""
    series = []
    for layer, maps in walk.maps.items():  # (S, h, w, T)
        _, rows, columns, _ = maps.shape
        for x, y in places:
            row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
            seen = maps[:, row, column].reshape(-1, rows, columns)
            series.append(Series(layer, f"from {x:g}, {y:g}", seen, (row, column)))
    return series


def word_series(walk: Walk, words: Sequence[NamedTokens]) -> list[Series]:
    """For each layer and word the share of every cell's attention that the word's tokens get together."""
    return [
        Series(layer, text, maps[..., list(numbers)].sum(-1))
        for layer, maps in walk.maps.items()  # (S, h, w, L)
        for text, numbers in words
    ]


def words_to_show(
    walk: Walk, words: Sequence[NamedTokens], asked: Sequence[str], most: int
) -> list[NamedTokens]:
    """At most `most` words in their order: those `asked` for, then those that get the most attention."""

    def rank(word: NamedTokens) -> tuple[bool, float]:
        shares = (maps[..., list(word[1])].sum(-1).mean() for maps in walk.maps.values())
        return word[0] not in asked, -sum(map(float, shares))

    chosen = sorted(words, key=rank)[:most]
    return [word for word in words if word in chosen]


def table_of(walk: Walk, series: Sequence[Series]) -> pd.DataFrame:
    """A row for each layer, thing, step and cell: `share` of attention; `x`, `y` the cell's middle."""
    parts = []
    for each in series:
        _, rows, columns = each.maps.shape
        y, x = (np.indices((rows, columns)).reshape(2, -1) + 0.5) / [[rows], [columns]]
        for step, level, values in zip(walk.steps, walk.noise_levels, each.maps, strict=True):
            place = {"layer": each.layer, "of": each.of, "step": step + 1, "noise_level": level}
            parts.append(pd.DataFrame({**place, "x": x, "y": y, "share": values.ravel()}))
    return pd.concat(parts, ignore_index=True)


def _time_figure(walk: Walk, series: Sequence[Series], names: dict[str, str], title: str) -> Figure:
    """Columns are steps; the first row is the face as it is predicted there."""
    rows = [[(_magnified(face), "") for face in walk.faces]]
    rows += [[each.heat(walk.face, values) for values in each.maps] for each in series]
    labels = [
        f"{_layer_label(walk, each.layer)}\n{LOOKS if each.mark else names.get(each.of, each.of)}"
        for each in series
    ]
    columns = [
        f"step {step + 1}\nt/T {level:.2f}" for step, level in zip(walk.steps, walk.noise_levels, strict=True)
    ]
    return _heat_table(rows, ["predicted face", *labels], columns, title)


def _words_figure(walk: Walk, series: Sequence[Series], names: dict[str, str], title: str) -> Figure:
    """Columns are words, each averaged over the steps, after the face."""
    rows = [
        [(_magnified(walk.face), "")]
        + [each.heat(walk.face, each.maps.mean(0)) for each in series if each.layer == layer]
        for layer in walk.maps
    ]
    words = [names.get(each.of, each.of) for each in series[: len(rows[0]) - 1]]  # those of the first layer
    return _heat_table(rows, [_layer_label(walk, layer) for layer in walk.maps], ["face", *words], title)


def _heat_table(
    rows: Sequence[Sequence[tuple[np.ndarray, str]]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
) -> Figure:
    """Pictures with their captions in a table, and a legend of the colours beside the columns' labels.

    Colours run from 0 to the largest value of each picture, so that captions say how much that is.
    """
    figure = image_table(
        np.stack([np.stack([image for image, _ in row]) for row in rows]),
        row_labels=row_labels,
        column_labels=column_labels,
        captions=[[caption for _, caption in row] for row in rows],
        title=title,
        corner=SCALE,
    )
    width, height = figure.get_size_inches()
    box = figure.axes[0].get_position()
    right, bottom = box.x0 * width - MOST_INCHES, box.y1 * height + BAR_LIFT_INCHES
    left, (bar_width, bar_height) = right - BAR_INCHES[0], BAR_INCHES
    with in_style():
        bar = figure.add_axes((left / width, bottom / height, bar_width / width, bar_height / height))
        bar.imshow(overlay(np.full((1, 256, 3), 128, np.uint8), np.linspace(0, 1, 256)[None]), aspect="auto")
        bar.set_axis_off()
    return figure


def _layer_label(walk: Walk, layer: str) -> str:
    """The layer's name in short lines, and how many cells it has."""
    _, rows, columns, _ = walk.maps[layer].shape
    name = textwrap.wrap(layer.replace(".", ". "), NAME_LETTERS, break_long_words=False)
    return "\n".join([*(line.replace(". ", ".") for line in name), f"{rows}x{columns} cells"])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def heat(face: np.ndarray, values: np.ndarray, mark: tuple[int, int] | None) -> np.ndarray:
    """`values` (h, w) over the `face` (H, W, 3), magnified; the cell `mark` (row, column) is framed."""
    image = Image.fromarray(overlay(_magnified(face), values))
    if mark is not None:
        (top, bottom), (left, right) = (
            (round(at * size / count), round((at + 1) * size / count) - 1)
            for at, count, size in zip(mark, values.shape, image.size[::-1], strict=True)
        )
        draw, inside = ImageDraw.Draw(image), (max(left + 1, right - 1), max(top + 1, bottom - 1))
        draw.rectangle((left + 1, top + 1, *inside), outline="white")
        draw.rectangle((left, top, right, bottom), outline="black")
    return np.asarray(image)


def overlay(face: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` (h, w) from 0 up as colours over the uint8 `face` (H, W, 3) in grey: uint8 (H, W, 3).

    The largest value has the last colour. Between the middles of cells values are interpolated.
    """
    from matplotlib import colormaps

    shares = Image.fromarray((values / max(values.max(), 1e-12)).astype(np.float32))
    shares = shares.resize(face.shape[1::-1], Image.Resampling.BILINEAR)
    heat = Image.fromarray(colormaps[COLOUR_MAP](np.asarray(shares), bytes=True)[..., :3])
    return np.asarray(Image.blend(Image.fromarray(face).convert("L").convert("RGB"), heat, OPACITY))


def _magnified(image: np.ndarray) -> np.ndarray:
    scale = math.ceil(FACE_PIXELS / image.shape[0])
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
