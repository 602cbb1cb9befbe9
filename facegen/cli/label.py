"""`facegen label`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.preparation.label import LabelSummary

ABOUT = (
    "Label a data set with a classifier trained here.",
    "Attributes it is not sure of stay unknown; images whose class it is not sure of are left out and listed"
    " in rejects.csv. What it says is a model's opinion, and the data set says so.",
)


def register(app: typer.Typer) -> None:
    app.command(
        "label",
        **described(
            ABOUT,
            "facegen label data/mine --classifier runs/race --out data/labelled",
            "facegen label data/mine --classifier runs/ab --out data/l --attributes Male",
            "facegen label data/mine --classifier runs/race --out d --min-confidence 0.7",
        ),
    )(label)


def label(
    dataset: Annotated[Path, typer.Argument(help="Folder made by 'facegen prepare'.", show_default=False)],
    classifier: Annotated[
        Path,
        typer.Option(help="A classifier run, of attributes or of a class column.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the labelled data set.", show_default=False)],
    min_confidence: Annotated[
        float, typer.Option(help="Its own probability of an answer that is taken.", min=0.0, max=1.0)
    ] = 0.9,
    attributes: Annotated[
        str | None,
        typer.Option(help="Only these; left out: all that it tells.", metavar="NAME,NAME,..."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.preparation.label import LabelOptions
    from facegen.preparation.label import label as run_label

    names = None if attributes is None else tuple(name.strip() for name in attributes.split(","))
    options = LabelOptions(min_confidence=min_confidence, attributes=names, device=device)
    summary = run_label(dataset, classifier, out, options, make_progress(quiet=quiet))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: LabelSummary) -> None:
    from facegen.cli.results import percent, print_facts, print_table

    agreement, held_out = "as before", "classifier right"
    if summary.class_column is not None:
        print_table(
            f"Classes: {summary.class_column}",
            ("class", "images", "left out", agreement, held_out),
            [
                (row.label, row.given, row.unsure, percent(row.agreement), percent(row.held_out))
                for row in summary.labels
            ],
        )
    else:
        print_table(
            "Attributes",
            ("attribute", "yes", "no", "unknown", agreement, held_out),
            [
                (
                    row.label,
                    row.num_yes,
                    row.given - (row.num_yes or 0),
                    row.unsure,
                    percent(row.agreement),
                    percent(row.held_out),
                )
                for row in summary.labels
            ],
        )
    counts = ", ".join(f"{count:,} {split}" for split, count in summary.counts.items())
    print_facts(
        {
            "Images": counts,
            "Left out": f"{summary.left_out:,} (see rejects.csv)" if summary.left_out else None,
            "Note": summary.notes[-1],
            "Data set": summary.out,
        }
    )
