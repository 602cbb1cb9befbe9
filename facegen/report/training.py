"""How a run learned: its losses beside what guessing would score, by noise level, and its previews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from facegen.report.charts import Series, line_chart, read_series
from facegen.report.facts import RunFacts
from facegen.report.html import Block, Chart, Columns, Fold, Section, Table
from facegen.report.words import picture
from facegen.vocabulary.words import readable

NOT_LOSSES = ("step", "loss", "images_seen", "skipped_steps", "images_per_second", "lr", "grad_norm")
ALWAYS_LOGGED = {
    "lr": "learning rate",
    "grad_norm": "norm of the gradient",
    "images_per_second": "images a second",
}
RARE_BELOW = 50  # positives an attribute needs before its scores mean something
SHOWN_PREVIEWS = 4
PREVIEW_WIDTH = 880  # of the page


def picture_sections(facts: RunFacts) -> list[Section]:
    """The section with previews; none if the run drew none."""
    previews = _previews(facts)
    return [Section("What it makes", previews)] if previews else []


def learning_sections(facts: RunFacts) -> list[Section]:
    """Sections on curves and a classifier's scores; a run that logged nothing yet gives none."""
    sections = []
    if scores := _attribute_scores(facts):
        sections.append(Section("Attribute by attribute", scores))
    if curves := _curves(facts):
        sections.append(Section("How it learned", curves))
    return sections


def _previews(facts: RunFacts) -> list[Block]:
    """The newest preview, and how it came to it in a fold."""
    files = sorted((facts.run / "samples").glob("step-*.png"))
    if not files:
        return []
    if facts.kind == "autoencoder":
        told = "Held-out images, each with its reconstruction to the right of it."
    else:
        told = "Drawn for held-out labels with seeds 0, 1, 2, …; nothing was picked out."
    blocks: list[Block] = [
        *picture(
            files[-1], f"Step {_step(files[-1]):,}. {told}", alt="The newest preview", width=PREVIEW_WIDTH
        )
    ]
    if earlier := _spread(files[:-1], SHOWN_PREVIEWS):
        shown = [
            one
            for file in earlier
            for one in picture(file, f"Step {_step(file):,}", alt=f"Preview at step {_step(file):,}")
        ]
        blocks.append(Fold("The same, earlier in training", [Columns(shown)]))
    return blocks


def _step(file: Any) -> int:
    return int(file.stem.rpartition("-")[2])


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """Up to `count` of them, evenly spaced, the first and the last included."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _curves(facts: RunFacts) -> list[Block]:
    path = facts.run / "metrics.jsonl"
    if not facts.logged("train") and not facts.logged("validation"):
        return []
    blocks: list[Block] = []
    lines = [
        read_series(path, "train", "loss", "training"),
        read_series(path, "validation", "loss", "held-out"),
        _dashed(read_series(path, "validation", "trivial_loss", "guessing")),
    ]
    caption = "Lower is better; held-out images were never trained on."
    if lines[2].x:
        caption += (
            " The dashed line is the better of two guesses that look at nothing: zero, or the data's mean."
        )
    blocks += _chart(lines, "Loss", caption, y_label="loss")
    blocks += _noise_levels(facts)
    blocks += _scores_of_validation(facts)
    if own := _named_losses(facts):
        blocks.append(Fold("Each loss by itself", [Columns(own)]))
    machine = [
        block
        for key, title in ALWAYS_LOGGED.items()
        for block in _chart([read_series(path, "train", key, title)], title.capitalize())
    ]
    if machine:
        blocks.append(Fold("Learning rate, gradients and speed", [Columns(machine)]))
    return blocks


def _chart(lines: Sequence[Series], title: str, caption: str = "", y_label: str = "") -> list[Block]:
    """Those of the lines that hold points; nothing if none does."""
    shown = [line for line in lines if line.x]
    if not shown:
        return []
    return [Chart(line_chart(shown, y_label=y_label, alt=f"{title} by step"), caption, title)]


def _dashed(series: Series) -> Series:
    return replace(series, reference=True)


def _noise_levels(facts: RunFacts) -> list[Block]:
    """The newest validation by noise level, beside both trivial predictors."""
    row = facts.validation
    levels = row.get("noise_levels")
    if not isinstance(levels, list) or not levels:
        return []
    names = (
        ("loss_per_level", "this model", False),
        ("zero_predictor_per_level", "predicting zero", True),
        ("mean_predictor_per_level", "predicting from the data's mean", True),
    )
    lines = [Series(name, levels, row[key], dashed) for key, name, dashed in names if row.get(key)]
    svg = line_chart(
        lines,
        x_label="noise level, from clean to pure noise",
        y_label="squared error",
        alt="Loss by noise level",
    )
    caption = (
        "The left end decides the detail, the right end what the face is of. A model that ignores its input "
        "lies on a dashed line."
    )
    return [Chart(svg, caption, f"By noise level, at step {row['step']:,}")]


def _scores_of_validation(facts: RunFacts) -> list[Block]:
    """What tasks without trivial losses say of themselves: PSNR, accuracy, AUC."""
    path = facts.run / "metrics.jsonl"
    psnr = read_series(path, "validation", "psnr", "this autoencoder")
    floor = _dashed(read_series(path, "validation", "mean_image_psnr", "the mean image"))
    blocks = _chart(
        [psnr, floor] if psnr.x else [], "Reconstruction", "Held-out images; higher is better.", "PSNR, dB"
    )
    shares = [
        read_series(path, "validation", key, name)
        for key, name in (
            ("accuracy", "accuracy"),
            ("balanced_accuracy", "balanced accuracy"),
            ("auc", "AUC"),
        )
    ]
    shares.append(_dashed(read_series(path, "validation", "majority", "always the commonest answer")))
    return blocks + _chart(shares, "Right answers", "On held-out images; higher is better.", "share")


def _named_losses(facts: RunFacts) -> list[Block]:
    """The parts a task logs beside its sum, such as those of phases that come and go."""
    path = facts.run / "metrics.jsonl"
    keys = {
        key: None
        for row in facts.logged("train")
        for key, value in row.items()
        if key not in NOT_LOSSES and isinstance(value, int | float) and not isinstance(value, bool)
    }
    blocks: list[Block] = []
    for key in keys:
        lines = [
            read_series(path, "train", key, "training"),
            read_series(path, "validation", key, "held-out"),
        ]
        blocks += _chart(lines, readable(key))
    return blocks


def _attribute_scores(facts: RunFacts) -> list[Block]:
    """A classifier's held-out scores by attribute, rare ones greyed out."""
    table = facts.validation.get("attributes")
    if not isinstance(table, dict) or not table:
        return []
    ordered = sorted(table.items(), key=lambda item: -(item[1].get("auc") or 0.0))
    keys = ("auc", "balanced_accuracy", "accuracy", "majority", "sensitivity", "specificity", "num_positive")
    rows = [(readable(name), *(row.get(key) for key in keys)) for name, row in ordered]
    rare = [i for i, (_, row) in enumerate(ordered) if (row.get("num_positive") or 0) < RARE_BELOW]
    columns = ("attribute", "AUC", "balanced", "accuracy", "commoner", "found", "left alone", "positives")
    caption = (
        "On held-out images. Balanced: the mean of found (of faces that have it) and left alone (of faces "
        "that have it not). Commoner: what always the commoner answer would score. "
        f"Greyed out: fewer than {RARE_BELOW} faces that have it."
    )
    return [Table(columns, rows, caption=caption, dimmed=rare)]
