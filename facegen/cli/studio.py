"""`facegen studio`."""

from __future__ import annotations

from typing import Annotated

from facegen.cli.command import command
from facegen.cli.console import make_progress
from facegen.cli.options import RunOrBox
from facegen.options import Device, Option
from facegen.sampling.options import Weights


@command()
def studio(
    run: RunOrBox = None,
    port: Annotated[int | None, Option("Left out: 7860, or the next free one.", min=1, max=65535)] = None,
    open_browser: Annotated[
        bool, Option("Open the page in the browser.", names=("--open/--no-browser",))
    ] = True,
    weights: Weights = "ema",
    device: Device = "auto",
) -> None:
    """Ask a model for faces in the browser.

    Opens a page on this computer alone (127.0.0.1) that works offline; Ctrl-C closes it. Pictures downloaded
    there carry their settings. Needs the extra 'web': pip install 'facegen[web]'.

        facegen studio
        facegen studio runs/celeba
        facegen studio demo/generator --port 8000 --no-browser
    """
    from facegen.formats.box import opened_box
    from facegen.studio.server import serve

    progress = make_progress(quiet=False)
    serve(run or opened_box(), progress, port=port, device=device, weights=weights, open_browser=open_browser)
