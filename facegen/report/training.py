"""How a run learned: its losses beside what guessing would score, by noise level, and its previews."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facegen.config.recipe import BY_LOSS
from facegen.report.blocks import Block, Chart, Columns, Figure, Fold, Section, Series, Table
from facegen.report.facts import RunFacts
from facegen.report.scores import score_name
from facegen.report.words import percent
from facegen.vocabulary.words import readable

NOT_LOSSES = ("step", "loss", "images_seen", "skipped_steps", "images_per_second", "lr", "grad_norm")
ALWAYS_LOGGED = {
    "lr": "Learning rate",
    "grad_norm": "Norm of the gradient",
    "images_per_second": "Images a second",
}
RARE_BELOW = 50  # positives an attribute needs before its scores mean something
SHOWN_PREVIEWS = 4
PREVIEW_WIDTH = 880  # of the page


def picture_sections(facts: RunFacts) -> list[Section]:
    """The section with the newest preview, and how it came to it in a fold; none if the run drew none."""
    *earlier, newest = facts.previews or [None]
    if newest is None:
        return []
    told = "Drawn for held-out labels with seeds 0, 1, 2, …; nothing was picked out."
    if facts.kind == "autoencoder":
        told = "Held-out images, each with its reconstruction to the right of it."
    blocks: list[Block] = [
        Figure(newest, f"{_step(newest)}. {told}", "The newest preview", width_pixels=PREVIEW_WIDTH)
    ]
    if earlier:
        count = min(SHOWN_PREVIEWS, len(earlier))
        spread = [earlier[round(place)] for place in np.linspace(0, len(earlier) - 1, count)]
        shown = [Figure(file, _step(file), f"Preview, {_step(file)}") for file in spread]
        blocks.append(Fold("The same, earlier in training", [Columns(shown)]))
    return [Section("What it makes", blocks)]


def _step(file: Path) -> str:
    return f"Step {int(file.stem.rpartition('-')[2]):,}"


def learning_sections(facts: RunFacts) -> list[Section]:
    """Sections on curves and a classifier's scores; a run that logged nothing yet gives none."""
    parts = {"Attribute by attribute": attribute_scores(facts), "How it learned": curves(facts)}
    return [Section(title, blocks) for title, blocks in parts.items() if blocks]


def curves(facts: RunFacts) -> list[Block]:
    """All that was logged, over the steps."""
    guessing = facts.series("validation", "trivial_loss", "guessing", dashed=True)
    lines = [
        facts.series("train", "loss", "training"),
        facts.series("validation", "loss", "held-out"),
        guessing,
    ]
    caption = "Lower is better; held-out images were never trained on."
    if guessing.x:
        caption += (
            " The dashed line is the better of two guesses that look at nothing: zero, or the data's mean."
        )
    own = [chart for key in _loss_names(facts) for chart in _loss_chart(facts, key)]
    machine = [
        chart
        for key, title in ALWAYS_LOGGED.items()
        for chart in _chart(title, [facts.series("train", key, title.lower())])
    ]
    return [
        *_chart("Loss", lines, caption, "loss"),
        *_noise_levels(facts),
        *_scores_of_validation(facts),
        *_scores_of_faces(facts),
        *([Fold("Each loss by itself", [Columns(own)])] if own else []),
        *([Fold("Learning rate, gradients and speed", [Columns(machine)])] if machine else []),
    ]


def _chart(title: str, lines: list[Series], caption: str = "", y_label: str = "") -> list[Block]:
    """Those of the lines that hold points; nothing if none does."""
    shown = [line for line in lines if line.x]
    return [Chart(shown, title, caption, y_label=y_label)] if shown else []


def _noise_levels(facts: RunFacts) -> list[Block]:
    """The newest validation by noise level, beside both trivial predictors."""
    row = facts.validation
    names = {
        "loss_per_level": "this model",
        "zero_predictor_per_level": "predicting zero",
        "mean_predictor_per_level": "predicting from the data's mean",
    }
    levels = row.get("noise_levels") or []
    lines = [
        Series(name, levels, row[key], dashed=key != "loss_per_level")
        for key, name in names.items()
        if levels and row.get(key)
    ]
    caption = (
        "The left end decides the detail, the right end what the face is of. A model that ignores its input "
        "lies on a dashed line."
    )
    label = "noise level, from clean to pure noise"
    title = f"By noise level, at step {row['step']:,}" if lines else ""
    return [Chart(lines, title, caption, label, "squared error")] if lines else []


def _scores_of_validation(facts: RunFacts) -> list[Block]:
    """What tasks without trivial losses say of themselves: PSNR, accuracy, AUC."""
    psnr = [
        facts.series("validation", "psnr", "this autoencoder"),
        facts.series("validation", "mean_image_psnr", "the mean image", dashed=True),
    ]
    shares = [
        facts.series("validation", "accuracy", "accuracy"),
        facts.series("validation", "balanced_accuracy", "balanced accuracy"),
        facts.series("validation", "auc", "AUC"),
        facts.series("validation", "majority", "always the commonest answer", dashed=True),
    ]
    return [
        *_chart("Reconstruction", psnr, "Held-out images; higher is better.", "PSNR, dB"),
        *_chart("Right answers", shares, "On held-out images; higher is better.", "share"),
    ]


def _scores_of_faces(facts: RunFacts) -> list[Block]:
    """What faces scored that were drawn while training, and why the run ended early, if it did."""
    names = dict.fromkeys(
        key for row in facts.logged("scores") for key in row if key not in ("step", "group")
    )
    charts = [
        chart
        for name in names
        for chart in _chart(score_name(name), [facts.series("scores", name, score_name(name))])
    ]
    blocks: list[Block] = []
    if charts:
        scoring = facts.recipe.scoring
        chosen = (
            "" if scoring.best_by == BY_LOSS else f" {score_name(scoring.best_by)} decides which is best."
        )
        told = (
            f"Scores of {scoring.num_images} faces, drawn every {scoring.every_steps:,} steps for the same "
            "held-out labels and with the same seeds. So few serve to compare the steps of this run alone."
            + chosen
        )
        blocks += [told, Columns(charts)]
    if stops := facts.logged("stop"):
        blocks.append(f"Stopped early after step {stops[-1]['step']:,}: {stops[-1]['reason']}.")
    return blocks


def _loss_names(facts: RunFacts) -> list[str]:
    """The parts a task logs beside its sum, such as those of phases that come and go."""
    logged = {key: value for row in facts.logged("train") for key, value in row.items()}
    return [
        key
        for key, value in logged.items()
        if key not in NOT_LOSSES and isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _loss_chart(facts: RunFacts, key: str) -> list[Block]:
    lines = [facts.series("train", key, "training"), facts.series("validation", key, "held-out")]
    return _chart(readable(key), lines)


def attribute_scores(facts: RunFacts) -> list[Block]:
    """A classifier's held-out scores by attribute, rare ones greyed out."""
    table = facts.validation.get("attributes")
    if not isinstance(table, dict) or not table:
        return []
    ordered = sorted(table.items(), key=lambda item: -(item[1].get("auc") or 0.0))
    shares = {
        "balanced": "balanced_accuracy",
        "accuracy": "accuracy",
        "commoner": "majority",
        "found": "sensitivity",
        "left alone": "specificity",
    }
    rows = [
        (
            readable(name),
            row.get("num_positive"),
            row.get("auc"),
            *(percent(row.get(key)) for key in shares.values()),
        )
        for name, row in ordered
    ]
    rare = [i for i, (_, row) in enumerate(ordered) if (row.get("num_positive") or 0) < RARE_BELOW]
    caption = (
        "On held-out images. Balanced: the mean of found (of faces that have it) and left alone (of faces "
        "that have it not). Commoner: what always the commoner answer would score."
    )
    too_few = f"fewer than {RARE_BELOW} faces that have it"
    return [Table(("attribute", "positives", "AUC", *shares), rows, "", caption, rare, too_few)]
