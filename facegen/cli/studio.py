"""`facegen studio`."""

from __future__ import annotations

from pathlib import Path
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
    host: Annotated[
        str, Option("Name or address to listen on; one that others reach is behind a password.")
    ] = "127.0.0.1",
    password_file: Annotated[
        Path | None,
        Option("Its only line is the password. Left out: $FACEGEN_STUDIO_PASSWORD, or one made up and told."),
    ] = None,
    open_browser: Annotated[
        bool, Option("Open the page in the browser.", names=("--open/--no-browser",))
    ] = True,
    weights: Weights = "ema",
    device: Device = "auto",
) -> None:
    """Ask a model for faces in the browser.

    Opens a page on this computer alone (127.0.0.1) that works offline; Ctrl-C closes it. Pictures downloaded
    there carry their settings. --host opens it to others, behind a password. Needs the extra 'web':
    pip install 'facegen[web]'.

        facegen studio
        facegen studio runs/celeba
        facegen studio demo/generator --port 8000 --no-browser
        facegen studio --host 0.0.0.0 --password-file password.txt
    """
    from facegen.formats.box import opened_box
    from facegen.studio.server import serve

    progress = make_progress(quiet=False)
    serve(
        run or opened_box(),
        progress,
        host=host,
        port=port,
        password_file=password_file,
        device=device,
        weights=weights,
        open_browser=open_browser,
    )
