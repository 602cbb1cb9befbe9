"""`facegen eval memorization`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.completion import feature_networks
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.evaluation.memorization import MemorizationReport

ABOUT = (
    "Find faces that are copies of training images, mirrored ones too.",
    "A face is flagged when its nearest training image is nearer than real faces of people who are not in"
    " the training set have theirs. The nearest pairs are shown side by side.",
)
EXAMPLES = (
    "facegen eval memorization run --train data/celeba",
    "facegen eval memorization run --train data/celeba --features inception",
    "facegen eval memorization my_images --train data/celeba --out pairs.png",
)


def register(group: typer.Typer) -> None:
    group.command("memorization", **described(ABOUT, *EXAMPLES))(memorization)


def memorization(
    subject: Subject,
    train: Annotated[
        Path, typer.Option(help="Data set the generator was trained on, unseen splits included.")
    ],
    features: Annotated[
        str,
        typer.Option(
            help="pixels (needs no network), inception, clip, vgg16, dinov2, or classifier:RUN.",
            autocompletion=feature_networks,
        ),
    ] = "pixels",
    weights: Annotated[
        Path | None, typer.Option(help="File with the feature network's weights; left out: downloaded once.")
    ] = None,
    nominal_rate: Annotated[
        float, typer.Option(help="Share of unseen real faces that may be flagged.", min=0.0001, max=0.49)
    ] = 0.01,
    num_samples: Annotated[
        int | None, typer.Option(help="Images to judge; left out: 1,000 drawn, or all there are.", min=1)
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split of the labels a run is asked with, or of a data set judged.")
    ] = "train",
    shown_pairs: Annotated[int, typer.Option(help="Nearest pairs in the picture.", min=1)] = 16,
    out: Annotated[
        Path | None, typer.Option(help="Picture of the pairs; left out: in RUN/evaluations.")
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
    from facegen.evaluation.memorization import MemorizationOptions, evaluate_memorization

    options = MemorizationOptions(
        selection=Selection(
            num_samples=num_samples, split=split, data=train, seed=seed, guidance=guidance, steps=steps
        ),
        features=features,
        weights=weights,
        nominal_rate=nominal_rate,
        shown_pairs=shown_pairs,
        out=out,
        batch_size=batch_size,
        device=device,
    )
    report = evaluate_memorization(subject, train, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_memorization(report)


def _print_memorization(report: MemorizationReport) -> None:
    from facegen.cli.results import interval, percent, print_facts, print_table

    rows = [
        (name, percent(row["share"]), interval(row["low"], row["high"]), row["num_samples"])
        for name, row in (
            (
                "this one",
                {
                    "share": report.share,
                    "low": report.low,
                    "high": report.high,
                    "num_samples": report.num_samples,
                },
            ),
            ("unseen real faces", report.held_out),
        )
    ]
    bound = percent(report.nominal_rate)
    title = f"Nearer to one of {report.num_train:,} training images than {bound} of unseen faces"
    print_table(title, ("what", "flagged", "95 % interval", "images"), rows)
    shown = [pair for pair in report.pairs if pair["flagged"]] or report.pairs[:3]
    print_table(
        "Nearest pairs (score: distance over that to the next ten)",
        ("sample", "training image", "mirrored", "distance", "score", "flagged"),
        [tuple(pair.values()) for pair in shown],
    )
    print_facts(
        {
            "Verdict": report.verdict,
            "Features": report.features_fingerprint,
            "Pairs": report.picture,
            "Saved to": report.saved_to,
        }
    )
