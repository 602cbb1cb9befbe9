"""`facegen eval`: one file a subcommand, each with `ABOUT`, `EXAMPLES` and `register`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate import attributes, fid, metric
from facegen.cli.options import described

ABOUT = (
    "Score a generator: how close to real faces, how often as asked.",
    "Reports of a run are also kept in RUN/evaluations.",
)
SUBCOMMANDS = (fid, attributes, metric)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for subcommand in SUBCOMMANDS:
        subcommand.register(group)
    app.add_typer(group, name="eval", **described(ABOUT, *(module.EXAMPLES[0] for module in SUBCOMMANDS)))
