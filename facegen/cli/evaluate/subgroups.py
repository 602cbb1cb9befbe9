"""`facegen eval subgroups`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.evaluation.subgroups import SubgroupReport

ABOUT = (
    "Score every group by itself: kernel distance, precision, recall, and attributes come true.",
    "A group is everyone asked to have an attribute, or not to, or to be of a class. Groups too small to"
    " tell are greyed out. Groups share images: worse off are those that are so by themselves, and every"
    " other is also scored apart from their images.",
)
EXAMPLES = (
    "facegen eval subgroups run --classifier judge --reference data/celeba",
    "facegen eval subgroups my_data --classifier judge --reference data/celeba",
)


def register(group: typer.Typer) -> None:
    group.command("subgroups", **described(ABOUT, *EXAMPLES))(subgroups)


def subgroups(
    subject: Subject,
    classifier: Annotated[
        Path, typer.Option(help="A classifier run made by 'facegen train'.", show_default=False)
    ],
    reference: Annotated[
        Path, typer.Option(help="Real faces: a folder made by 'facegen prepare'.", show_default=False)
    ],
    features: Annotated[
        str | None,
        typer.Option(
            help="inception, clip, vgg16, dinov2, classifier:RUN; left out: the classifier's.",
            autocompletion=feature_networks,
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(help="Images to judge; left out: 2,000 drawn, or all there are.", min=1)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set or latents the labels come from; left out: the run's own.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split the labels, or a data set's images, come from.")] = (
        "validation"
    ),
    reference_split: Annotated[str, typer.Option(help="Split of the reference.")] = "train",
    small_below: Annotated[int, typer.Option(help="Images below which a group is greyed out.", min=16)] = 50,
    apart_from: Annotated[
        str | None,
        typer.Option(help="Groups whose images are set aside, as A=yes,B=no.", show_default=False),
    ] = None,
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images at once.", min=1, rich_help_panel=HARDWARE)
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.judged_images import Selection
    from facegen.evaluation.subgroups import SubgroupOptions, evaluate_subgroups

    options = SubgroupOptions(
        selection=Selection(
            num_samples=num_samples,
            default_samples=2000,
            split=split,
            data=data,
            seed=seed,
            guidance=guidance,
            steps=steps,
        ),
        features=features,
        weights=weights,
        split=reference_split,
        small_below=small_below,
        apart_from=tuple(filter(None, map(str.strip, (apart_from or "").split(",")))),
        batch_size=batch_size,
        device=device,
    )
    report = evaluate_subgroups(subject, classifier, reference, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_subgroups(report)


def _print_subgroups(report: SubgroupReport) -> None:
    from facegen.cli.results import print_facts, print_table

    shown = [*_COLUMNS]
    if any(row["apart"] for row in report.rows):
        shown += _APART
    shown = [column for column in shown if any(column[1](row) is not None for row in report.rows)]
    columns = ("group", *(title for title, _ in shown))
    large = [_row(row, shown) for row in report.rows if not row["small"]]
    small = [_row(row, shown) for row in report.rows if row["small"]]
    print_table(f"By group, {report.features} features (95 % intervals)", columns, large)
    print_table(f"Too small to tell (fewer than {report.small_below} images)", columns, small, style="dim")
    print_facts(
        {
            "Worse off": ", ".join(report.worse_off) or "no group beyond doubt",
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )


Shown = tuple[str, Callable[[dict[str, Any]], Any]]


def _row(row: dict[str, Any], shown: list[Shown]) -> tuple[Any, ...]:
    name = f"{row['label']} = {row['value']}" if row["value"] else row["label"]
    return (name, *(value(row) for _, value in shown))


def _score(found: dict[str, float] | None) -> str | None:
    if found is None:
        return None
    value, low, high = (_number(found[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


_COLUMNS: tuple[Shown, ...] = (
    ("images", lambda row: row["num_samples"]),
    ("real", lambda row: row["num_reference"]),
    ("KID", lambda row: _score(row["kid"])),
    ("Fréchet", lambda row: _score(row["frechet"])),
    ("precision", lambda row: _score(row["precision"])),
    ("recall", lambda row: _score(row["recall"])),
    ("as asked", lambda row: _score(row["accuracy"])),
    ("real faces", lambda row: _score(row["real_accuracy"])),
)
_APART: tuple[Shown, ...] = (
    ("apart: images", lambda row: (row["apart"] or row)["num_samples"]),
    ("KID", lambda row: _score((row["apart"] or row)["kid"])),
    ("precision", lambda row: _score((row["apart"] or row)["precision"])),
)
