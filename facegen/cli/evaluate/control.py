"""`facegen eval control`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.evaluate.options import Guidance, Seed, Steps
from facegen.cli.options import Device, Json, Quiet, Run, described

if TYPE_CHECKING:
    from facegen.evaluation.control import ControlReport

ABOUT = (
    "Toggle one attribute or class at the same noise: did it change, and what else did?",
    "Pairs of faces are drawn whose requests differ in one attribute, and judged by a classifier trained by"
    " facegen. Gives hit rates, leakage into every other attribute, and a heat map.",
)
EXAMPLES = (
    "facegen eval control run --classifier judge",
    "facegen eval control run --classifier judge --attributes Smiling,Male",
)
MOST_LEAKS = 3  # named in a row of the table


class Base(StrEnum):
    labels = "labels"
    open = "open"


def register(group: typer.Typer) -> None:
    group.command("control", **described(ABOUT, *EXAMPLES))(control)


def control(
    run: Run,
    classifier: Annotated[
        Path, typer.Option(help="A classifier run made by 'facegen train'.", show_default=False)
    ],
    attributes: Annotated[
        str | None,
        typer.Option(help="Attributes or classes to toggle, as A,B; left out: all.", show_default=False),
    ] = None,
    num_samples: Annotated[int, typer.Option(help="Pairs of faces an attribute.", min=1)] = 64,
    base: Annotated[
        Base, typer.Option(help="The rest of a request: labels of held-out people, or left open.")
    ] = Base.labels,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "--reference",
            help="Data set or latents the labels come from; left out: what the run was trained on.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split the labels come from.")] = "validation",
    grid_pairs: Annotated[int, typer.Option(help="Pairs of each attribute in the picture.", min=0)] = 4,
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.control import ControlOptions, evaluate_control

    names = None if attributes is None else tuple(filter(None, map(str.strip, attributes.split(","))))
    options = ControlOptions(
        attributes=names,
        num_samples=num_samples,
        base=base.value,
        data=data,
        split=split,
        guidance=guidance,
        steps=steps,
        seed=seed,
        grid_pairs=grid_pairs,
        device=device,
    )
    report = evaluate_control(run, classifier, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_control(report)


def _print_control(report: ControlReport) -> None:
    from facegen.cli.results import percent, print_facts, print_table

    print_table(
        f"{report.num_samples:,} pairs an attribute, {report.num_images:,} images",
        ("", "share", "95 % interval", "redrawn at random", "classifier's own limit"),
        [
            _summary("came true", report.hit, report.hit_chance, report.classifier_hit),
            _summary("leakage", report.leakage, report.leakage_chance, report.classifier_leakage),
        ],
    )
    print_table(
        "By toggled attribute",
        ("attribute", "came true", "95 % interval", "more often by", "limit", "leakage", "most into"),
        [_row(row, report) for row in report.rows],
    )
    print_facts(
        {
            "No effect shown": ", ".join(report.no_effect_shown) or "none: asking makes each more frequent",
            "Classifier": f"right in {percent(_accuracy(report)) or 'unknown'} of held-out faces",
            "Remark": "\n".join(report.remarks) or None,
            "Heat map": report.heat_map,
            "Pairs": report.grid,
            "Saved to": report.saved_to,
        }
    )


def _summary(
    name: str, found: Mapping[str, Any] | None, chance: float | None, limit: float | None
) -> tuple[Any, ...]:
    from facegen.cli.results import interval, percent

    if found is None:
        return name, None, None, None, None
    return (
        name,
        percent(found["share"]),
        interval(found["low"], found["high"]),
        percent(chance),
        percent(limit),
    )


def _row(row: Mapping[str, Any], report: ControlReport) -> tuple[Any, ...]:
    from facegen.cli.results import interval, percent

    hit = row["hit"]
    leaks = {name: cell["share"] for name, cell in row["leakage"].items() if cell and cell["share"] > 0}
    worst = sorted(leaks, key=lambda name: -leaks[name])[:MOST_LEAKS]
    return (
        row["attribute"],
        percent(hit["share"]),
        interval(hit["low"], hit["high"]),
        percent(row["effect"]["share"]),
        percent(report.classifier_limits[row["attribute"]]["hit"]),
        percent(row["mean_leakage"]),
        ", ".join(f"{name} {percent(leaks[name])}" for name in worst) or None,
    )


def _accuracy(report: ControlReport) -> float | None:
    known = [
        limit["accuracy"] for limit in report.classifier_limits.values() if limit["accuracy"] is not None
    ]
    return sum(known) / len(known) if known else None
