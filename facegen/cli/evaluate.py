"""`facegen eval fid` and `facegen eval attributes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.cli.completion import attribute_requests, feature_networks
from facegen.cli.options import HARDWARE, Device, Json, Quiet, Run, described

if TYPE_CHECKING:
    from facegen.evaluation.scores import AttributeReport, FidReport

ABOUT = (
    "Score a generator: how close to real faces, how often as asked.",
    "Reports of a run are also kept in RUN/evaluations.",
)
FID = (
    "Score how close generated faces are to real ones, as a Fréchet distance: lower is better.",
    "Shown beside it: what real faces reach among themselves, and through the run's autoencoder. Distances"
    " compare only at equal features, counts and reference.",
)
ATTRIBUTES = (
    "Count how often the attributes asked for came true.",
    "Faces are drawn for the labels of held-out people, or for one request, and judged by a classifier"
    " trained by facegen, whose own accuracy is shown beside.",
)
EXAMPLES = {
    "fid": (
        "facegen eval fid run --reference data/celeba --num-samples 10000",
        "facegen eval fid run --reference data/celeba --features classifier:judge",
        "facegen eval fid my_images --reference data/celeba --weights inception.pth",
    ),
    "attributes": (
        "facegen eval attributes run --classifier judge",
        'facegen eval attributes run --classifier judge --attributes "Male=1"',
    ),
}
SAMPLING = "Sampling (the run's own where left out)"
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale; 1 is off.", min=0, rich_help_panel=SAMPLING)
]
Steps = Annotated[int | None, typer.Option(help="Sampler steps.", min=1, rich_help_panel=SAMPLING)]
Seed = Annotated[int, typer.Option(help="Seed of the first image.", min=0)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    group.command("fid", **described(FID, *EXAMPLES["fid"]))(fid)
    group.command("attributes", **described(ATTRIBUTES, *EXAMPLES["attributes"]))(attributes)
    examples = [lines[0] for lines in EXAMPLES.values()]
    app.add_typer(group, name="eval", **described(ABOUT, *examples))


def fid(
    subject: Annotated[
        Path, typer.Argument(help="A run, a folder of images, or a data set.", show_default=False)
    ],
    reference: Annotated[
        Path, typer.Option(help="Real faces: a folder made by 'facegen prepare'.", show_default=False)
    ],
    features: Annotated[
        str,
        typer.Option(
            help="inception, clip, vgg16, dinov2, or classifier:RUN, a classifier of yours (offline).",
            autocompletion=feature_networks,
        ),
    ] = "inception",
    weights: Annotated[
        Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(help="Images to compare; left out: 1,000 drawn, or all of a folder.", min=1)
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the reference.")] = "train",
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
    from facegen.workflows.evaluate_fid import FidOptions, evaluate_fid

    options = FidOptions(
        features=features,
        weights=weights,
        num_samples=num_samples,
        split=split,
        seed=seed,
        guidance=guidance,
        steps=steps,
        batch_size=batch_size,
        device=device,
    )
    report = evaluate_fid(subject, reference, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_fid(report)


def attributes(
    run: Run,
    classifier: Annotated[
        Path, typer.Option(help="A classifier run made by 'facegen train'.", show_default=False)
    ],
    num_samples: Annotated[int, typer.Option(help="Images to draw.", min=1)] = 500,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set or latents the requests come from; left out: what the run was trained on."
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
    from facegen.workflows.evaluate_attributes import AttributeOptions, evaluate_attributes

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


def _print_fid(report: FidReport) -> None:
    from facegen.cli.results import print_facts, print_table

    floor, ceiling = report.floor, report.ceiling
    rows: list[tuple[str, float, int]] = [("this one", report.score, report.num_samples)]
    if ceiling is not None:
        score, count = float(ceiling["score"]), int(ceiling["num_samples"])
        rows.append(("real faces through the autoencoder", score, count))
    if floor is not None:
        rows.append((f"real faces ({floor.method})", floor.score, floor.num_samples))
    title = f"Fréchet distance, {report.features} features, against {report.num_reference:,} real faces"
    print_table(title, ("what", "distance", "images"), rows)
    print_facts({"Remark": "\n".join(report.remarks) or None, "Saved to": report.saved_to})


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
        ("attribute", "asked for", "came true", "asked against", "stayed away", "classifier right"),
        [_attribute_row(name, row) for name, row in report.attributes.items()],
    )
    print_facts(
        {
            "Classifier": f"right in {percent(report.classifier_accuracy) or 'unknown'} of held-out faces",
            "Weakest": ", ".join(report.weakest) or None,
            "Grid": report.grid,
            "Saved to": report.saved_to,
        }
    )


def _attribute_row(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    from facegen.cli.results import percent

    yes, no = row["asked_yes"], row["asked_no"]
    return (
        name,
        yes["num_asked"],
        percent(yes["hit_rate"]) if yes["num_asked"] else None,
        no["num_asked"],
        percent(no["hit_rate"]) if no["num_asked"] else None,
        percent(row["classifier_accuracy"]),
    )
