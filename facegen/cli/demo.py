"""`facegen demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.console import duration_text
from facegen.cli.results import print_facts, print_table
from facegen.demo.options import DemoOptions
from facegen.options import Option
from facegen.report.words import percent

if TYPE_CHECKING:
    from facegen.demo.demo import DemoSummary
    from facegen.protocols import Progress


def _print(summary: DemoSummary) -> None:
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


@command(_print, opens_models=False)
def demo(
    options: DemoOptions,
    progress: Progress,
    out: Annotated[Path, Option("Folder for everything the demo makes.")] = Path("demo"),
) -> DemoSummary:
    """Do everything once, offline: draw avatars, train, sample, score.

    Renders avatars, trains an autoencoder, a classifier and a generator, draws faces for words, counts what
    came true and writes report.html. Stopped anywhere, the same command goes on where it stood.

        facegen demo --out demo
        facegen demo --out demo --minutes 4 --seed 1
    """
    from facegen.demo.demo import demo

    return demo(out, options, progress)
