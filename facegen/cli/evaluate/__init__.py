"""`facegen eval`: one file a subcommand, each with `ABOUT`, `EXAMPLES` and `register`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate import (
    attributes,
    classifier,
    clip_score,
    control,
    everything,
    fd_dinov2,
    fid,
    inception_score,
    kid,
    memorization,
    metric,
    precision_recall,
    reconstruction,
    subgroups,
)
from facegen.cli.options import described

ABOUT = (
    "Score a generator: how close to real faces, how often as asked.",
    "Reports of a run are also kept in RUN/evaluations.",
)
SUBCOMMANDS = (
    everything,
    fid,
    kid,
    precision_recall,
    inception_score,
    fd_dinov2,
    attributes,
    control,
    clip_score,
    metric,
    memorization,
    reconstruction,
    subgroups,
    classifier,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for subcommand in SUBCOMMANDS:
        subcommand.register(group)
    app.add_typer(group, name="eval", **described(ABOUT, *(module.EXAMPLES[0] for module in SUBCOMMANDS)))
