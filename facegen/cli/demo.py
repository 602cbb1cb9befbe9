"""`facegen demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.options import Json, Quiet, Size, described

if TYPE_CHECKING:
    from facegen.demo.demo import DemoSummary

ABOUT = (
    "Do everything once, offline: draw avatars, train, sample, score.",
    "Renders avatars, trains an autoencoder, a classifier and a generator, draws faces for words, counts what"
    " came true and writes report.html. Stopped anywhere, the same command goes on where it stood.",
)


def register(app: typer.Typer) -> None:
    app.command(
        "demo",
        **described(
            ABOUT,
            "facegen demo --out demo",
            "facegen demo --out demo --minutes 4 --seed 1",
        ),
    )(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    minutes: Annotated[
        float, typer.Option(help="Time to fill on two CPU cores; less gives coarser faces.", min=0.1)
    ] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other avatars and other faces.", min=0)] = 0,
    size: Annotated[Size, typer.Option(help="smoke: as small as can be, to try it out.")] = Size.FULL,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.demo.demo import DemoOptions
    from facegen.demo.demo import demo as run_demo

    summary = run_demo(
        out, DemoOptions(minutes=minutes, seed=seed, size=size.value), make_progress(quiet=quiet)
    )
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: DemoSummary) -> None:
    from facegen.cli.console import duration_text
    from facegen.cli.results import percent, print_facts, print_table

    scores = summary.attributes
    print_table("Time", ("stage", "time"), [(name, duration_text(s)) for name, s in summary.seconds.items()])
    print_facts(
        {
            "Everything asked for": f"came true in {percent(scores['share_all'])}",
            "Asked to be present": f"came true in {percent(scores['share_present']) or 'unknown'}",
            "Classifier": f"right in {percent(scores['classifier_accuracy']) or 'unknown'} of unseen avatars",
            "Faces": summary.grid,
            "Report": summary.report,
        }
    )
