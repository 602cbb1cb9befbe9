"""Serving the studio, to this computer alone."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any

from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import Weights
from facegen.protocols import Progress
from facegen.studio.model_process import ModelProcess

HOST = "127.0.0.1"
DEFAULT_PORT = 7860
TRIED_PORTS = 20
MAX_UPLOAD = "50mb"


def serve(
    run: Path,
    progress: Progress,
    *,
    port: int | None = None,
    device: str = "auto",
    weights: Weights = "ema",
    open_browser: bool = True,
) -> None:
    """Serve the studio of a run until Ctrl-C; without `port` the first free one from 7860.

    Raises:
        MissingModelError: gradio is not installed, or as `load`.
        UsageError: the port is taken, or as `load`.
    """
    check_installed()
    import uvicorn

    _close_when_ended()
    with _listening(port) as listener, tempfile.TemporaryDirectory(prefix="facegen-studio-") as folder:
        chosen = listener.getsockname()[1]
        if port is None and chosen != DEFAULT_PORT:
            progress.say(f"Port {DEFAULT_PORT} is taken; {chosen} is used.")
        with ModelProcess(run, device, weights) as model:
            app = build_app(model, Path(run).resolve().name, Path(folder))
            url = f"http://{HOST}:{chosen}/"
            progress.say(f"The studio of '{run}' is open at {url} (Ctrl-C closes it).")
            opening = Timer(1.0, webbrowser.open, (url,))
            opening.daemon = True
            if open_browser:
                opening.start()
            try:
                uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run(
                    sockets=[listener]
                )
            except KeyboardInterrupt:
                progress.say("The studio is closed.")
            finally:
                opening.cancel()


def check_installed() -> None:
    """Raises:
    MissingModelError: gradio is not installed; says how to install it.
    """
    if find_spec("gradio") is None:
        raise MissingModelError(
            "The studio needs the package 'gradio', which is not installed.",
            hint="Install it: pip install 'facegen[web]'",
        )


def build_app(model: ModelProcess, name: str, folder: Path) -> Any:
    """The whole web application, which keeps all its files in `folder`."""
    uploads = folder.resolve() / "files"
    uploads.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported, which then asks nobody
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads / "examples")  # otherwise under the current folder
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)  # nobody looks at its counts of events
    import fastapi
    import gradio

    from facegen.studio.guard import Guard
    from facegen.studio.page import CSS_FILE, HEAD, build_page, theme

    pictures = folder.resolve() / "history"
    pictures.mkdir(exist_ok=True)
    page = build_page(model, name, pictures)
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        "/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=theme(),
        css_paths=CSS_FILE,
        head=HEAD,
    )
    return Guard(app, uploads)


def _listening(port: int | None) -> socket.socket:
    """A socket bound to 127.0.0.1 on that port, or on the first free one from 7860."""
    for candidate in [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + TRIED_PORTS):
        listener = socket.socket()
        if os.name == "posix":  # a port just left may be used at once; on Windows it would be shared
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
        except OSError as error:
            listener.close()
            if port is not None:
                why = error.strerror or "it is taken"
                raise UsageError(
                    f"Port {port} on {HOST} cannot be used: {why}.",
                    hint="Give another --port, or none to use the first free one.",
                ) from error
            continue
        return listener
    last = DEFAULT_PORT + TRIED_PORTS - 1
    raise UsageError(f"The ports {DEFAULT_PORT} to {last} are all taken.", hint="Give another with --port.")


def _close_when_ended() -> None:
    """Let SIGTERM and a closed terminal end the studio as Ctrl-C does, so that uploads are removed."""

    def end(number: int, _: Any) -> None:
        raise KeyboardInterrupt

    def end_gently(number: int, _: Any) -> None:  # SIGTERM, unlike SIGHUP, is one the server waits for
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:  # not under nohup
        signal.signal(hangup, end_gently)
