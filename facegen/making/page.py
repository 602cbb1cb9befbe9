"""The page at the end: the faces, how good they are, what was done in which time, and what to try next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import facegen
from facegen.formats.dataset import Dataset, DatasetManifest
from facegen.formats.far import shared_path
from facegen.formats.run import describe_environment
from facegen.making.options import MakeFolders
from facegen.making.outlook import outlook, told
from facegen.making.plan import Plan
from facegen.report.blocks import Block, Commands, Figure, Headline, Page, Section, Table, settings_section
from facegen.report.evaluations import show_evaluations
from facegen.report.facts import read_run
from facegen.report.html import write_page
from facegen.report.summary import is_it_better, score_sentences, what_it_is
from facegen.report.training import curves
from facegen.report.words import duration, quoted

SETTINGS = ("denoiser", "conditioner", "diffusion", "optimizer", "training", "sampling")


@dataclass(frozen=True)
class Made:
    """What the page is written from: `took` is seconds by stage, `scores` the reports by name."""

    folders: MakeFolders
    dataset: Path
    plan: Plan
    took: dict[str, float]
    scores: dict[str, Any]


def write_make_report(made: Made) -> Path:
    """Write the page of what was made, and return its path."""
    plan, folders = made.plan, made.folders
    facts = read_run(folders.run).shared()
    shown = show_evaluations(facts)
    manifest = Dataset.open(made.dataset).manifest
    recipe = facts.recipe.model_dump(mode="json")
    licence = manifest.source.get("licence") or "licence unknown, look it up"
    minutes = Headline(
        "minutes",
        f"{sum(made.took.values()) / 60:.1f}",
        "from the source to this page",
        target=f"{plan.command['minutes']:g} were given",
    )
    page = Page(
        title=f"Faces from {plan.command['source'] or plan.kind}",
        summary=[f"{what_it_is(facts)} {is_it_better(facts)}", " ".join(score_sentences(shown))],
        headlines=[*(one for one_told in shown.told.values() for one in one_told.headlines), minutes],
        sections=[
            Section("What it draws", [_grid(plan, folders.grid)]),
            *shown.sections,
            Section("What it was made of", _source(plan, manifest)),
            Section("Where the time went", [times_table(made)]),
            Section("What more would bring", told(outlook(folders.run), float(plan.command["minutes"]))),
            Section("How it learned", curves(facts)),
            Section("What to try next", _next_steps(made)),
            *settings_section("Settings", {name: recipe[name] for name in SETTINGS}),
            *settings_section("Environment", describe_environment()),
        ],
        footer=f"Made by facegen {facegen.__version__}. Data: {licence}.",
    )
    return write_page(page, folders.report)


def _grid(plan: Plan, grid: Path) -> Figure:
    told = "Each picture started from other noise"
    if plan.asked.by != "nothing":
        told = "Each column was asked for what stands below it, each row started from one noise"
    return Figure(grid, f"{told}; nothing was picked out.", "Grid of generated faces", width_pixels=880)


def _source(plan: Plan, manifest: DatasetManifest) -> list[Block]:
    used = [(f"used for {split}", count) for split, count in manifest.counts.items()]
    left = [(f"left out: {reason}", count) for reason, count in manifest.rejects.items()]
    return [
        f"Taken for {plan.kind}: {plan.why}.",
        Table(("pictures", "number"), [*used, *left], "account.csv beside the faces has a row for every one"),
        *(f"{line[0].upper()}{line[1:]}." for line in manifest.read_as),
        *manifest.repairs,
        *manifest.notes,
    ]


def times_table(made: Made) -> Table:
    """A row a stage: what it did, how long that was to take, and how long it took."""
    rows = [
        (name, made.plan.about(name), duration(planned), duration(made.took.get(name, 0.0)))
        for name, planned in made.plan.seconds.items()
    ]
    return Table(("stage", "what", "planned", "took"), rows, "Planned before anything was made")


def _next_steps(made: Made) -> list[Block]:
    run, plan = quoted(shared_path(made.folders.run)), made.plan
    source = quoted(plan.command["source"] or "SOURCE")
    longer, elsewhere = 4 * float(plan.command["minutes"]), f"{shared_path(made.folders.out)}-longer"
    return [
        Commands(
            [
                f"facegen sample {run} --count 16",
                f"facegen studio {run}",
                f"facegen report {run}",
                f"facegen make {source} --minutes {longer:g} --out {quoted(elsewhere)}",
            ]
        )
    ]
