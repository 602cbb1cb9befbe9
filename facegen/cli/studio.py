"""`facegen studio`."""

from __future__ import annotations

from typing import Annotated

import typer

from facegen.cli.options import Device, Run, described
from facegen.cli.sample import SAMPLING, Weights

ABOUT = (
    "Ask a model for faces in the browser.",
    "Opens a page on this computer alone (127.0.0.1) that works offline; Ctrl-C closes it. Pictures"
    " downloaded there carry their settings. Needs the extra 'web': pip install 'facegen[web]'.",
)
EXAMPLES = (
    "facegen studio runs/celeba",
    "facegen studio demo/generator --port 8000 --no-browser",
)


def register(app: typer.Typer) -> None:
    app.command("studio", **described(ABOUT, *EXAMPLES))(studio)


def studio(
    run: Run,
    port: Annotated[
        int | None,
        typer.Option(help="Left out: 7860, or the next free one.", min=1, max=65535),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-browser", help="Open the page in the browser.")
    ] = True,
    weights: Annotated[
        Weights, typer.Option(help="ema: averaged; model: as last trained.", rich_help_panel=SAMPLING)
    ] = Weights.EMA,
    device: Device = "auto",
) -> None:
    from facegen.cli.console import make_progress
    from facegen.studio.server import serve

    progress = make_progress(quiet=False)
    serve(run, progress, port=port, device=device, weights=weights.value, open_browser=open_browser)
