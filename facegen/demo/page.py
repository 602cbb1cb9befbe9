"""The demo's page: what was asked for, what came out, how sure the scores are, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facegen.formats.box import box_facts, packed_box
from facegen.formats.run import describe_environment
from facegen.making.options import MakeFolders
from facegen.making.page import Made, times_table
from facegen.report.blocks import Block, Commands, Figure, Headline, Page, Section, Table, settings_section
from facegen.report.evaluations import show_evaluations
from facegen.report.facts import RunFacts, read_run
from facegen.report.html import write_page
from facegen.report.training import curves

SUMMARY = (
    "This page was made on this machine, without any download. facegen rendered cartoon faces whose every "
    "label is known, trained an autoencoder, a classifier and a conditional generator on them, drew faces "
    "for the words below, and counted how often they came true."
)
LICENCE = (
    "The training pictures are drawn in the style Avataaars by Pablo Stanley (https://avataaars.com), "
    "free for personal and commercial use."
)
SETTINGS = ("denoiser", "diffusion", "optimizer", "training", "sampling")


def write_demo_report(made: Made) -> Path:
    """Write `OUT/report.html` from the generator's run and its newest evaluations, and return its path."""
    folders, seconds = made.folders, made.took
    facts = read_run(folders.run)
    shown = show_evaluations(facts)
    recipe = facts.recipe.model_dump(mode="json")
    minutes = Headline("minutes", f"{sum(seconds.values()) / 60:.1f}", "from nothing to this page")
    page = Page(
        title="Faces from words: the facegen demo",
        summary=[SUMMARY],
        headlines=[*(one for told in shown.told.values() for one in told.headlines), minutes],
        sections=[
            Section("Asked for, and drawn", _pictures(folders)),
            *shown.sections,
            Section("Beside the model in the box", _beside_the_box(folders, facts, seconds)),
            Section(
                "How it learned",
                [*curves(facts), times_table(made)],
            ),
            Section("What to try next", _next_steps(folders)),
            *settings_section("Settings", {name: recipe[name] for name in SETTINGS}),
            *settings_section("Environment", describe_environment()),
        ],
        footer=LICENCE,
    )
    return write_page(page, folders.report)


def _pictures(folders: MakeFolders) -> list[Block]:
    return [
        Figure(
            folders.grid,
            "Each column was asked for with the words below it; every picture started from other noise. "
            "Nothing was picked out.",
            "Grid of generated cartoon faces, one column per prompt",
        ),
        Figure(
            folders.out / "switches.png",
            "One wish changed, the noise unchanged: what differs from the first column is what it does.",
            "Rows of the same face with glasses, a smile, a beard and so on switched on",
            title="One thing changed at a time",
        ),
    ]


def _beside_the_box(folders: MakeFolders, facts: RunFacts, seconds: Mapping[str, float]) -> list[Block]:
    """The same prompts asked of the model that comes with facegen, and what its training took."""
    box = read_run(packed_box())
    trained = sum(run["seconds"] for run in box_facts()["made"]["runs"].values())
    minutes = (f"{sum(seconds.values()) / 60:.0f}", f"{trained / 60:.0f} of training, one core each")
    told: list[dict[str, object]] = [
        {
            "pixels a side": info.image_size,
            "labels": len(info.labels.attributes),
            "pictures that the generator saw": f"{info.images_seen:,}",
            "minutes": taken,
            "came true of what was asked to be there": _came_true(one, "present"),
            "whole requests right": _came_true(one, "whole_request"),
        }
        for one, taken in zip((facts, box), minutes, strict=True)
        if (info := one.checkpoint) is not None
    ]
    rows = [(name, *(one[name] for one in told)) for name in told[0]]
    return [
        Figure(
            folders.out / "box.png",
            "The prompts from above, asked of the model in the box.",
            "Grid of cartoon faces by the model that comes with facegen",
        ),
        Table(("", "this demo", "the box"), rows, "Each judged by a classifier of its own labels"),
        Commands(['facegen sample --prompt "smiling, round glasses, blond hair"']),
    ]


def _came_true(facts: RunFacts, of: str) -> str:
    """The share that the newest count of attributes found, "present" or "whole_request"."""
    newest = next(one for one in facts.evaluations if one.metric == "attributes")
    return f"{newest.data['generated'][of]['share']:.1%}"


def _next_steps(folders: MakeFolders) -> list[Block]:
    return [
        "Ask for something else, more faithfully, or train on your own faces:",
        Commands(
            [
                f'facegen sample {folders.run} --prompt "a bald person with sunglasses, smiling" --count 16',
                f'facegen sample {folders.run} --attributes "Red_Hair=1,Beard=1" --guidance 3',
                "facegen prepare image-folder YOUR_FACES --out data/mine --size 64",
            ]
        ),
        "Train longer: all that --minutes adds goes to the generator.",
    ]
