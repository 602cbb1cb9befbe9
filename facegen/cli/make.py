"""`facegen make`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.console import duration_text
from facegen.cli.results import print_facts, print_table
from facegen.making.options import MakeOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.making.make import MakeSummary
    from facegen.protocols import Progress


def _print(summary: MakeSummary) -> None:
    rows = [
        (name, duration_text(planned), duration_text(summary.took.get(name, 0.0)))
        for name, planned in summary.planned.items()
    ]
    print_table("Time", ("stage", "planned", "took"), rows)
    print_facts({**summary.headlines, "Faces": summary.grid, "Report": summary.report})


@command(_print, opens_models=False)
def make(
    options: MakeOptions,
    progress: Progress,
    source: Annotated[
        Path | None, Argument(help="Folder or archive of faces or photos; left out: avatars are drawn.")
    ] = None,
    out: Annotated[Path, Option("Folder for everything that is made.")] = Path("made"),
) -> MakeSummary:
    """From a folder of pictures to a judged generator, in the time you give it.

    Finds out what the source is: CelebA, CelebA-HQ, UTKFace, classes in folders, tables of labels, parquet
    files, a prepared data set, or photos, in which it finds the faces. Says what it will do and how long
    each stage will take, and does it: prepare, train an autoencoder and a judge, train the generator, draw,
    score, look for copies, and write report.html. Stopped anywhere, the same command goes on.

        facegen make holidays --minutes 60 --out family
        facegen make UTKFace.tar.gz --minutes 30 --out faces
    """
    from facegen.making.make import make

    return make(source, out, options, progress)
