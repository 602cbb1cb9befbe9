"""`facegen report RUN`: one HTML page and a model card from what a run folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import facegen
from facegen.errors import UsageError
from facegen.formats.far import written_beside
from facegen.formats.plain import plain
from facegen.report.blocks import Commands, Page, Section, settings_section
from facegen.report.evaluations import Shown, all_evaluations, missing_section, show_evaluations
from facegen.report.facts import RunFacts, read_run
from facegen.report.html import write_page
from facegen.report.model_card import write_model_card
from facegen.report.summary import headlines, summary, train_again, use
from facegen.report.training import learning_sections, picture_sections
from facegen.report.words import quoted
from facegen.training.trackers import keep_in_trackers

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
        return plain(self)


def report(run: Path | str, out: Path | None = None) -> ReportSummary:
    """Write `RUN/report.html` (or `out`) and the model card `RUN/README.md` from what the run holds.

    Nothing is drawn, judged or trained; the page names the commands that add what is missing. `run` may be a
    generator's, an autoencoder's or a classifier's run, or one of its checkpoints. A service that
    tracks the run keeps the page, too.

    Raises:
        UsageError: there is no run, `out` is a folder, or a tracker does not let us in.
        StorageError: the run is unreadable, or the disk is full or may not be written to.
    """
    if out is not None and out.is_dir():
        raise UsageError(f"'{out}' is a folder.", hint=f"Name the file: --out {quoted(out / PAGE)}")
    facts = read_run(Path(run))
    shared = facts.shared()
    shown = show_evaluations(shared)
    page = write_page(report_page(shared, shown), out or written_beside(facts.run) / PAGE)
    keep_in_trackers(facts.run, page)
    return ReportSummary(
        page=page,
        card=write_model_card(shared, shown),
        evaluations=len(facts.evaluations),
        missing=tuple(show_evaluations(facts).missing.values()),  # for here, where the page is for anywhere
        left_out=shown.left_out,
    )


def report_page(facts: RunFacts, shown: Shown) -> Page:
    """All that is told of a run, as data."""
    asked = missing_section(facts, shown)
    licence = facts.data.licence or "licence unknown, look it up"
    return Page(
        title=facts.run.resolve().name,
        summary=summary(facts, shown),
        headlines=headlines(facts, shown),
        sections=[
            *picture_sections(facts),
            *([] if shown.sections else asked),
            *shown.sections,
            *learning_sections(facts),
            *(asked if shown.sections else []),
            Section("What to do with it", use(facts)),
            *all_evaluations(facts, shown),
            _recipe(facts),
            *settings_section("Environment", plain(facts.environment)),
        ],
        footer=f"Made by facegen {facegen.__version__} from {facts.named}. Data: {licence}.",
    )


def _recipe(facts: RunFacts) -> Section:
    text = yaml.safe_dump(facts.recipe.shared(), sort_keys=False, allow_unicode=True)
    told = "Everything the training depended on. The same again, in another folder:"
    return Section("Recipe", [told, train_again(facts), Commands(text.splitlines())], collapsed=True)
