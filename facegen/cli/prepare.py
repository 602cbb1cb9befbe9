"""`facegen prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facegen.cli.command import command
from facegen.cli.completion import dataset_kinds
from facegen.cli.forecast import print_forecast
from facegen.cli.options import DryRun
from facegen.cli.results import print_facts, print_table
from facegen.options import Option
from facegen.preparation.options import PrepareOptions
from facegen.processes import world
from facegen.report.words import percent

if TYPE_CHECKING:
    from facegen.forecast import Forecast
    from facegen.preparation.prepare import PrepareSummary
    from facegen.protocols import Progress

MAX_LISTED = 12


def _print(summary: PrepareSummary | Forecast) -> None:
    from facegen.forecast import Forecast

    if isinstance(summary, Forecast):
        print_forecast(summary)
        return
    total = sum(summary.counts.values())
    title = f"{summary.kind}, {summary.image_size} x {summary.image_size}"
    print_table(title, ("split", "images"), [*summary.counts.items(), ("all", total)])
    rates = [(name, percent(rate)) for name, rate in summary.attribute_rates.items()]
    print_table("Attributes", ("attribute", "rate"), rates)
    for column, counts in summary.class_counts.items():
        rows = sorted(counts.items(), key=lambda item: -item[1])
        more = f", the {MAX_LISTED} largest of {len(rows)}" if len(rows) > MAX_LISTED else ""
        shares = [(name, count, percent(count / max(1, total))) for name, count in rows[:MAX_LISTED]]
        print_table(f"Classes: {column}{more}", ("class", "images", "share"), shares)
    shown = [(each.id, each.split, each.labels or None, each.caption) for each in summary.examples]
    print_table("Three of them", ("image", "split", "labels", "caption"), shown)
    print_table("Left out (rejects.csv has them)", ("reason", "images"), summary.rejects.items())
    facts = {"Read as": summary.read_as, "Repaired": summary.repairs, "Notes": summary.notes}
    told = {name: "\n".join(lines) or None for name, lines in facts.items()}
    print_facts({**told, "Every file": summary.out / "account.csv", "Data set": summary.out})


@command(_print, opens_models=False, many=True)
def prepare(
    kind: Annotated[
        str,
        Argument(
            help="celeba, celeba-hq, utkface, image-folder, photos, hub or avatars.",
            autocompletion=dataset_kinds,
        ),
    ],
    out: Annotated[Path, Option("Folder for the data set.")],
    options: PrepareOptions,
    progress: Progress,
    source: Annotated[
        Path | None,
        Argument(
            help="Folder or archive to read; for hub ORG/NAME or a folder of parquet; none for avatars."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> PrepareSummary | Forecast:
    """Make a data set from a folder, archive or hub data set of faces, or draw one.

    Images are cropped, resized, rid of duplicates and split; labels become captions too. Stopped anywhere,
    the same command goes on where it stood. All cores work; of several processes that a launcher started the
    first does it all.

        facegen prepare avatars --out data/avatars --count 10000
        facegen prepare celeba CelebA --out data/celeba --size 64
        facegen prepare utkface UTKFace.tar.gz --out data/utk --splits 0.8,0.1,0.1
        facegen prepare image-folder photos --out data/mine --size 128 --limit 5000
        facegen prepare photos holidays --out data/family --size 128
        facegen prepare celeba CelebA --out data/celeba --size 64 --dry-run
        facegen prepare hub ORG/NAME --out data/hub --columns Smiling=attr_smile
    """
    from facegen.preparation.prepare import preparation_forecast, prepare

    if dry_run:
        return world().first(lambda: preparation_forecast(kind, source, out, options))
    return world().first(lambda: prepare(kind, source, out, options, progress))
