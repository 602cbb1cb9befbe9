"""`facegen plot attention`: where the cells of a face look, and which look at a word, from noise to face.

Words as heat over the picture after Tang et al. 2023 (DAAM, arXiv:2210.04885): means over heads, enlarged to
the face. Recorded is the conditional row alone; the null row of guidance looks at something else.

Letters: T cells of a layer's map, L condition tokens, h/w rows and columns of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facegen.errors import UsageError, did_you_mean
from facegen.models.generator import FaceGenerator
from facegen.nn.attention_recording import Kind
from facegen.plotting.attention_figure import Heat, Picture, attention_plot
from facegen.plotting.attention_series import (
    NamedTokens,
    Series,
    cell_series,
    layer_label,
    table_of,
    word_series,
    words_to_show,
)
from facegen.plotting.attention_walk import (
    Walk,
    chosen_layers,
    kinds_of,
    layers_of,
    recorded_walk,
)
from facegen.plotting.options import AttentionOptions
from facegen.plotting.requested import Requested, check_frames, run_title, subject_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress, TokenConditioner
from facegen.sampling.plan import Plan
from facegen.sampling.sample import SampleOptions

POINTS = ((0.38, 0.48), (0.49, 0.7))  # about an eye and the mouth of an aligned face
MOST_WORDS = 9
LOOKS = "seen from the\nframed cell"


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
    _check_places(wanted.at)
    path = figure_path(out, subject_of(run), "attention")
    requested = Requested.open(run, replace(options or SampleOptions(), count=1), progress)
    kind = _kind(requested, wanted)
    if wanted.frames > requested.settings.steps:
        raise UsageError(
            f"--frames {wanted.frames} is more than the {requested.settings.steps} steps.",
            hint=f"Use --frames {requested.settings.steps} or fewer, or more --steps.",
        )
    layers = chosen_layers(wanted.layers, kind, layers_of(requested.generator.denoiser, kind))
    plan = requested.plan(1)
    words = _words(requested.generator, plan, wanted.words) if kind == "cross" else []
    walk = recorded_walk(requested, plan.inputs, plan.faces[0].seed, kind, layers, wanted.frames)
    if kind == "cross" and not wanted.words:
        words = words_to_show(walk, words, list(plan.reading.labels), MOST_WORDS)
    series = word_series(walk, words) if kind == "cross" else cell_series(walk, wanted.at or POINTS)
    labels = _labels(requested.generator, plan)
    draw = _words_plot if kind == "cross" and not wanted.words else _time_plot
    title = f"{kind.title()}-attention of {run_title(run, requested.options, requested.generator)}"
    title += f", seed {requested.options.seed}"
    facts = {
        "Attention": "of cells to words" if kind == "cross" else "of cells to each other",
        "Layers": ", ".join(walk.layers),
        "Frames": f"{wanted.frames} of {requested.settings.steps} steps",
        "Guidance": requested.settings.guidance_scale,
    }
    return save_plot(draw(walk, series, labels, title), path, csv=csv, facts=facts)


def _kind(requested: Requested, wanted: AttentionOptions) -> Kind:
    kinds = kinds_of(requested.generator.denoiser)
    network = requested.generator.recipe.section("denoiser").kind
    if not kinds:
        raise UsageError(
            f"Denoiser '{network}' of this run has no attention.",
            hint="Most transformers and UNets have it, such as those of --preset celeba-attributes.",
        )
    if wanted.kind == "self" and wanted.words:
        raise UsageError("--word follows attention to words, which --kind self leaves out.")
    if wanted.kind == "cross" and wanted.at:
        raise UsageError("--at is a place that looks at other places, which --kind cross leaves out.")
    kind = wanted.kind or ("cross" if wanted.words else "self" if wanted.at else kinds[0])
    if kind in kinds:
        if kinds == ("self",) and wanted.kind is None:
            requested.progress.say(
                "This model has no cross-attention: its condition enters the norms. Drawn is self-attention."
            )
        return kind
    if kind == "cross":
        raise UsageError(
            f"Denoiser '{network}' of this run has no cross-attention: its condition enters the norms, "
            "so no cell attends to a word or label.",
            hint="Use --kind self. Models of the presets text-ldm and attribute-ldm have cross-attention.",
        )
    raise UsageError(f"Denoiser '{network}' of this run has no self-attention.", hint="Use --kind cross.")


def _check_places(places: Sequence[tuple[float, float]]) -> None:
    for x, y in places:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise UsageError(
                f"--at {x:g},{y:g} is outside the picture.",
                hint="X and Y are shares of its width and height from the upper left, such as 0.5,0.75.",
            )


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
        found = [word for word in words if _plain(word[0]) == _plain(wish)]
        if not found:
            known = list(dict.fromkeys(text for text, _ in words))
            raise UsageError(
                f"--word: '{wish}' is not among what this model was told.{did_you_mean(wish, known)}",
                hint=f"Its words: {', '.join(known)}.",
            )
        chosen.append((found[0][0], tuple(number for _, numbers in found for number in numbers)))
    return chosen or words


def _labels(generator: FaceGenerator, plan: Plan) -> dict[str, str]:
    """What stands beside a label of the model: whether it was asked for, asked away, or left open."""
    labels = {}
    for name in getattr(generator.conditioner, "attributes", ()):
        value = plan.reading.labels.get(name, 0)
        labels[name] = (
            f"{name.replace('_', ' ')}\n{'yes' if value > 0 else 'no' if value < 0 else 'left open'}"
        )
    return labels


def _plain(word: str) -> str:
    return word.replace("_", " ").strip().casefold()


def _time_plot(walk: Walk, series: Sequence[Series], names: dict[str, str], title: str) -> Plot:
    """Columns are frames; the first row is the face as it is predicted there."""
    rows: list[Sequence[Heat | Picture]] = [[Picture(frame.face) for frame in walk.frames]]
    rows += [each.heats() for each in series]
    labels = [
        f"{layer_label(walk, each.layer)}\n{LOOKS if each.mark else names.get(each.of, each.of)}"
        for each in series
    ]
    return attention_plot(
        rows,
        walk.face,
        table_of(walk, series),
        row_labels=["predicted face", *labels],
        column_labels=[f"step {frame.step + 1}\nt/T {frame.noise_level:.2f}" for frame in walk.frames],
        title=title,
    )


def _words_plot(walk: Walk, series: Sequence[Series], names: dict[str, str], title: str) -> Plot:
    """Columns are words, each averaged over the frames, after the face."""
    words = [each for each in series if each.layer == walk.layers[0]]
    rows: list[Sequence[Heat | Picture]] = []
    for layer in walk.layers:
        heats = [each.mean_heat() for each in series if each.layer == layer]
        rows.append([Picture(walk.face), *heats])
    return attention_plot(
        rows,
        walk.face,
        table_of(walk, series),
        row_labels=[layer_label(walk, layer) for layer in walk.layers],
        column_labels=["face", *(names.get(each.of, each.of) for each in words)],
        title=title,
    )
