"""`facegen report RUN`: one HTML page and a model card from what a run folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import facegen
from facegen.errors import UsageError
from facegen.formats.plain import plain
from facegen.report.evaluations import (
    Shown,
    all_evaluations,
    missing_evaluations,
    missing_section,
    show_evaluations,
)
from facegen.report.facts import RunFacts, read_run
from facegen.report.html import Block, Commands, Report, Section, write_report
from facegen.report.model_card import write_model_card
from facegen.report.summary import headlines, summary
from facegen.report.training import learning_sections, picture_sections
from facegen.report.words import quoted

PAGE = "report.html"


@dataclass(frozen=True)
class ReportSummary:
    """Where the page and the model card are.

    `card` is None where a README.md stands that facegen did not write, which is left alone. `missing` are the
    command lines that would add what the page lacks; `left_out` the reports that could not be shown, and why.
    """

    page: Path
    card: Path | None
    evaluations: int
    missing: tuple[str, ...]
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "page": str(self.page),
            "card": None if self.card is None else str(self.card),
            "evaluations": self.evaluations,
            "missing": list(self.missing),
            "left_out": self.left_out,
        }


def report(run: Path | str, out: Path | None = None) -> ReportSummary:
    """Write `RUN/report.html` (or `out`) and the model card `RUN/README.md` from what the run holds.

    Nothing is drawn, judged or trained; the page names the commands that add what is missing. `run` may be a
    generator's, an autoencoder's or a classifier's run, or one of its checkpoints.

    Raises:
        UsageError: there is no run, or `out` is a folder.
        StorageError: the run is unreadable, or the disk is full or may not be written to.
    """
    if out is not None and out.is_dir():
        raise UsageError(f"'{out}' is a folder.", hint=f"Name the file: --out {quoted(out / PAGE)}")
    facts = read_run(Path(run))
    shown = show_evaluations(facts)
    missing = missing_evaluations(facts, shown)
    page = write_report(_page(facts, shown), out or facts.run / PAGE)
    return ReportSummary(
        page=page,
        card=write_model_card(facts, shown, missing),
        evaluations=len(facts.evaluations),
        missing=tuple(one.command for one in missing),
        left_out=shown.left_out,
    )


def _page(facts: RunFacts, shown: Shown) -> Report:
    missing = missing_evaluations(facts, shown)
    asked = missing_section(facts, missing)
    return Report(
        title=facts.run.resolve().name,
        summary=summary(facts, shown, missing),
        headlines=headlines(facts, shown),
        sections=[
            *picture_sections(facts),
            *([] if shown.sections else asked),
            *shown.sections,
            *learning_sections(facts),
            *(asked if shown.sections else []),
            Section("What to do with it", _next_steps(facts)),
            *all_evaluations(facts, shown),
            _recipe(facts),
        ],
        environment=plain(facts.environment),
        footer=f"Made by facegen {facegen.__version__} from {facts.run}. Data: {_licence(facts)}.",
        contents=True,
    )


def _licence(facts: RunFacts) -> str:
    return facts.data.licence or "licence unknown, look it up"


def _next_steps(facts: RunFacts) -> list[Block]:
    run = quoted(facts.run)
    if facts.checkpoint is None:
        return [
            "There is no checkpoint yet. To go on training:",
            Commands([f"facegen train --resume --run {run}"]),
        ]
    if facts.kind == "classifier":
        lines = [
            f"facegen eval attributes GENERATOR --classifier {run}",
            f"facegen label DATASET --classifier {run}",
        ]
        return ["Let it judge a generator, or label other faces:", Commands(lines)]
    if facts.kind == "autoencoder":
        dataset = quoted(facts.data.dataset) if facts.data.dataset else "DATASET"
        lines = [f"facegen encode {dataset} --autoencoder {run} --out latents"]
        return ["Encode faces with it, to train a generator on the latents:", Commands(lines)]
    asked = {
        "text": ' --prompt "a smiling woman with blond hair"',
        "attributes": ' --prompt "a smiling woman"',
    }
    lines = [f"facegen sample {run}{asked.get(str(facts.conditioner), '')} --count 16"]
    if facts.conditioner in ("image_features", "semantic_encoder"):
        lines = [f"facegen sample {run} --like PHOTO --count 16"]
    return ["Draw faces:", Commands(lines)]


def _recipe(facts: RunFacts) -> Section:
    text = yaml.safe_dump(facts.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    told = "Everything the training depended on. The same again, in another folder:"
    again = f"facegen train --config {quoted(facts.run / 'recipe.yaml')} --run ANOTHER"
    return Section("Recipe", [told, Commands([again]), Commands(text.splitlines())], collapsed=True)
