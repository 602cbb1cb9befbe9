"""`facegen prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.completion import dataset_kinds
from facegen.cli.options import HARDWARE, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.preparation.prepare import PrepareSummary

ABOUT = (
    "Make a data set from a folder, archive or hub data set of faces, or draw one.",
    "Images are cropped, resized, rid of duplicates and split; labels become captions too. Stopped anywhere,"
    " the same command goes on where it stood.",
)
IMAGES, RECORDS, HUB = "Images", "Which images, which split", "Kind hub"
MAX_LISTED = 12


def register(app: typer.Typer) -> None:
    app.command(
        "prepare",
        **described(
            ABOUT,
            "facegen prepare avatars --out data/avatars --count 10000",
            "facegen prepare celeba CelebA --out data/celeba --size 64",
            "facegen prepare utkface UTKFace.tar.gz --out data/utk --splits 0.8,0.1,0.1",
            "facegen prepare image-folder photos --out data/mine --size 128 --limit 5000",
            "facegen prepare hub ORG/NAME --out data/hub --columns Smiling=attr_smile",
        ),
    )(prepare)


def prepare(
    kind: Annotated[
        str,
        typer.Argument(
            help="celeba, celeba-hq, utkface, image-folder, hub or avatars.",
            autocompletion=dataset_kinds,
            show_default=False,
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Folder or archive to read; for hub ORG/NAME or a folder of parquet; none for avatars.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the data set.", show_default=False)],
    size: Annotated[
        int, typer.Option(help="Side of the square images in pixels.", rich_help_panel=IMAGES)
    ] = 64,
    crop: Annotated[
        str, typer.Option(help="A crop of the kind; auto: the one that suits it.", rich_help_panel=IMAGES)
    ] = "auto",
    min_side: Annotated[
        int, typer.Option(help="Leave out images that are smaller than this.", rich_help_panel=IMAGES)
    ] = 16,
    count: Annotated[
        int | None,
        typer.Option(help="How many avatars to draw; 10,000 if left out.", rich_help_panel=RECORDS),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Keep this many, chosen evenly.", rich_help_panel=RECORDS)
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            help="Shares of train, validation, test; left out: the source's own.",
            metavar="TRAIN,VALIDATION,TEST",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of drawing, choosing and splitting.", min=0, rich_help_panel=RECORDS)
    ] = 0,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail where images and labels do not match.", rich_help_panel=RECORDS),
    ] = False,
    max_reject_share: Annotated[
        float, typer.Option(help="Fail if more than this share is unusable.", rich_help_panel=RECORDS)
    ] = 0.5,
    columns: Annotated[
        str | None,
        typer.Option(
            help="What columns are: a label's name (class:NAME for a class), image, caption, identity, split,"
            " id; none leaves out.",
            metavar="NAME=COLUMN,...",
            rich_help_panel=HUB,
        ),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="Which one, if it has several.", rich_help_panel=HUB)
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit on the hub.", rich_help_panel=HUB)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; left out: one a core.", rich_help_panel=HARDWARE)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.preparation.prepare import PrepareOptions
    from facegen.preparation.prepare import prepare as run_prepare

    options = PrepareOptions(
        size=size,
        crop=crop,
        limit=limit,
        splits=read_splits(splits),
        seed=seed,
        workers=workers,
        min_side=min_side,
        max_reject_share=max_reject_share,
        strict=strict,
        count=count,
        columns=read_columns(columns),
        subset=subset,
        revision=revision,
    )
    summary = run_prepare(kind, source, out, options, make_progress(quiet=quiet))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def read_splits(text: str | None) -> tuple[float, float, float] | None:
    """ "0.8,0.1,0.1" as three shares.

    Raises:
        UsageError: not three numbers.
    """
    from facegen.errors import UsageError

    if text is None:
        return None
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--splits takes the shares of train, validation and test, not '{text}'.",
            hint="Example: --splits 0.8,0.1,0.1",
        ) from error
    return train, validation, test


def read_columns(text: str | None) -> dict[str, str] | None:
    """ "Smiling=attr_smile,none=notes" as column -> name.

    Raises:
        UsageError: a part without "=", or a column named twice.
    """
    from facegen.errors import UsageError

    if text is None:
        return None
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, separator, column = (word.strip() for word in part.partition("="))
        if not (name and separator and column) or column in columns:
            raise UsageError(
                f"--columns takes NAME=COLUMN,... with each column once, not '{text}'.",
                hint="Example: --columns image=photo,Smiling=attr_smile,race=label,none=notes",
            )
        columns[column] = name
    return columns


def _print_summary(summary: PrepareSummary) -> None:
    from facegen.cli.results import percent, print_facts, print_table

    total = sum(summary.counts.values())
    print_table(
        f"{summary.kind}, {summary.image_size} x {summary.image_size}",
        ("split", "images"),
        [
            *((split, count) for split, count in summary.counts.items()),
            ("all", total),
        ],
    )
    rates = [(name, percent(rate)) for name, rate in summary.attribute_rates.items()]
    print_table("Attributes", ("attribute", "rate"), rates)
    for column, counts in summary.class_counts.items():
        rows = sorted(counts.items(), key=lambda item: -item[1])
        more = f", the {MAX_LISTED} largest of {len(rows)}" if len(rows) > MAX_LISTED else ""
        shares = [(name, count, percent(count / max(1, total))) for name, count in rows[:MAX_LISTED]]
        print_table(f"Classes: {column}{more}", ("class", "images", "share"), shares)
    print_table("Left out (see rejects.csv)", ("reason", "images"), list(summary.rejects.items()))
    print_facts({"Notes": "\n".join(summary.notes) or None, "Data set": summary.out})
