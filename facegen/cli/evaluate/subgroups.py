"""`facegen eval subgroups`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.workflows.evaluate_subgroups import SubgroupReport

ABOUT = (
    "Score every group by itself: kernel distance, precision, recall, and attributes come true.",
    "A group is everyone asked to have an attribute, or not to, or to be of a class. Groups too small to"
    " tell are greyed out.",
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
    from facegen.workflows.evaluate_subgroups import SubgroupOptions, evaluate_subgroups
    from facegen.workflows.judged_images import Selection

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

    columns = ("group", "images", "real", "KID x 1000", "precision", "recall", "as asked", "real faces")
    large = [_row(row) for row in report.rows if not row["small"]]
    small = [_row(row) for row in report.rows if row["small"]]
    print_table(f"By group, {report.features} features (95 % intervals)", columns, large)
    print_table(f"Too small to tell (fewer than {report.small_below} images)", columns, small, style="dim")
    print_facts(
        {
            "Worse off": ", ".join(report.worse_off) or "no group beyond its interval",
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    name = f"{row['label']} = {row['value']}" if row["value"] else row["label"]
    kid = row["kid"] and {key: 1000 * value for key, value in row["kid"].items()}
    shares = [row[key] for key in ("precision", "recall", "accuracy", "real_accuracy")]
    return (name, row["num_samples"], row["num_reference"], _score(kid), *map(_score, shares))


def _score(found: dict[str, float] | None) -> str | None:
    if found is None:
        return None
    return f"{found['value']:.3g} ({found['low']:.3g} to {found['high']:.3g})"
