"""`facegen eval attributes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import attribute_requests
from facegen.cli.evaluate.options import Guidance, Seed, Steps
from facegen.cli.options import Device, Json, Quiet, Run, described

if TYPE_CHECKING:
    from facegen.evaluation.attributes import AttributeReport

ABOUT = (
    "Count how often the attributes asked for came true.",
    "Faces are drawn for the labels of held-out people, or for one request, and judged by a classifier"
    " trained by facegen, whose own accuracy is shown beside.",
)
EXAMPLES = (
    "facegen eval attributes run --classifier judge",
    'facegen eval attributes run --classifier judge --attributes "Male=1"',
)


def register(group: typer.Typer) -> None:
    group.command("attributes", **described(ABOUT, *EXAMPLES))(attributes)


def attributes(
    run: Run,
    classifier: Annotated[
        Path, typer.Option(help="A classifier run made by 'facegen train'.", show_default=False)
    ],
    num_samples: Annotated[int, typer.Option(help="Images to draw.", min=1)] = 500,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "--reference",
            help="Data set or latents the requests come from; left out: what the run was trained on.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split the requests come from.")] = "validation",
    request: Annotated[
        str | None,
        typer.Option(
            "--attributes", help="Ask every image for this instead.", autocompletion=attribute_requests
        ),
    ] = None,
    min_asked: Annotated[
        int, typer.Option(help="Times asked for before an attribute can be called weak.", min=1)
    ] = 10,
    grid_images: Annotated[int, typer.Option(help="Images in the grid of hits and misses.", min=1)] = 24,
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.attributes import AttributeOptions, evaluate_attributes

    options = AttributeOptions(
        num_samples=num_samples,
        data=data,
        split=split,
        attributes=request,
        guidance=guidance,
        steps=steps,
        seed=seed,
        min_asked=min_asked,
        grid_images=grid_images,
        device=device,
    )
    report = evaluate_attributes(run, classifier, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_attributes(report)


def _print_attributes(report: AttributeReport) -> None:
    from facegen.cli.results import interval, percent, print_facts, print_table

    shares = [
        (label, report.generated[key])
        for label, key in (
            ("everything asked for", "all"),
            ("asked to be present", "present"),
            ("asked to be absent", "absent"),
            ("whole requests", "whole_request"),
        )
        if report.generated[key]
    ]
    print_table(
        f"Came true in {report.num_samples:,} images",
        ("", "share", "95 % interval", "asked"),
        [(label, percent(s["share"]), interval(s["low"], s["high"]), s["num_asked"]) for label, s in shares],
    )
    print_table(
        "By attribute",
        (
            "attribute",
            "asked for",
            "recall",
            "asked against",
            "stayed away",
            "precision",
            "accuracy",
            "real faces",
            "classifier right",
        ),
        [_attribute_row(name, row) for name, row in report.attributes.items()],
    )
    kept = report.kept or {}
    print_table(
        "Kept from the picture asked with",
        ("attribute", "kept", "95 % interval", "by chance", "above chance by", "95 % interval"),
        [
            (
                name,
                percent(row["agreement"]),
                interval(row["agreement_low"], row["agreement_high"]),
                percent(row["chance"]),
                percent(row["margin"]),
                interval(row["margin_low"], row["margin_high"]),
            )
            for name, row in kept.items()
        ],
    )
    above = sum(row["margin_low"] > 0 for row in kept.values())
    print_facts(
        {
            "Kept": f"{above} of {len(kept)} attributes more often than by chance" if kept else None,
            "Classifier": f"right in {percent(report.classifier_accuracy) or 'unknown'} of held-out faces",
            "Weakest": ", ".join(report.weakest) or None,
            "Grid": report.grid,
            "Saved to": report.saved_to,
        }
    )


def _attribute_row(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    from facegen.cli.results import percent

    yes, no = row["asked_yes"], row["asked_no"]
    return (
        name,
        yes["num_asked"],
        percent(row["recall"]),
        no["num_asked"],
        percent(no["hit_rate"]),
        percent(row["precision"]),
        percent(row["accuracy"]),
        percent(row["accuracy_on_real"]),
        percent(row["classifier_accuracy"]),
    )
