"""Serving the studio: to this computer alone, or to others who know a password."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any

from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import Weights
from facegen.protocols import Progress
from facegen.studio.folder import UPLOADS
from facegen.studio.model_process import ModelProcess
from facegen.studio.password import is_loopback, password_for
from facegen.studio.windows import Windows

HOST = "127.0.0.1"
DEFAULT_PORT = 7860
TRIED_PORTS = 20
BEYOND = (
    "Others reach it by this computer's name or address. What goes there and back is not encrypted; where "
    "the network is not trusted, leave out --host and use a tunnel: ssh -L {port}:127.0.0.1:{port}"
)


def serve(
    run: Path,
    progress: Progress,
    *,
    host: str = HOST,
    port: int | None = None,
    password_file: Path | None = None,
    device: str = "auto",
    weights: Weights = "ema",
    open_browser: bool = True,
) -> None:
    """Serve the studio of a run until Ctrl-C; without `port` the first free one from 7860.

    A `host` that others can reach is behind a password: see `password_for`.

    Raises:
        MissingModelError: gradio is not installed, or as `load`.
        UsageError: the host or port cannot be used, the password is too short, or as `load`.
    """
    check_installed()
    password, is_made_up = password_for(host, password_file)
    _close_when_ended()
    with (
        _closing(progress),
        _listening(host, port) as listener,
        tempfile.TemporaryDirectory(prefix="facegen-studio-") as folder,
    ):
        chosen = listener.getsockname()[1]
        if port is None and chosen != DEFAULT_PORT:
            progress.say(f"Port {DEFAULT_PORT} is taken; {chosen} is used.")
        with ModelProcess(run, device, weights) as model:
            door = Door(password, chosen, own_host=is_loopback(host))
            app = build_app(model, Path(run).resolve().name, Path(folder), door)
            url = f"http://{_named(host)}:{chosen}/"
            progress.say(f"The studio of '{run}' is open at {url} (Ctrl-C closes it).")
            if not door.own_host:
                progress.say(BEYOND.format(port=chosen))
            if is_made_up:
                progress.say(f"Its password, told this once: {password}")
            opening = Timer(1.0, webbrowser.open, (url,))
            opening.daemon = True
            if open_browser:
                opening.start()
            try:
                server_of(app).run(sockets=[listener])
            finally:
                opening.cancel()


@contextmanager
def _closing(progress: Progress) -> Generator[None]:
    """Whenever Ctrl-C comes, before the page is open as well, it closes the studio, which is told."""
    try:
        yield
    except KeyboardInterrupt:
        progress.say("The studio is closed.")


def server_of(app: Any) -> Any:
    """The server, an uvicorn, that answers with `app`; it logs no request."""
    import uvicorn

    from facegen.studio.connections import MAX_CONNECTIONS, Impatient

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient,
            ws="none",
            log_level="warning",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )


def check_installed() -> None:
    """Raises:
    MissingModelError: gradio is not installed; says how to install it.
    """
    if find_spec("gradio") is None:
        raise MissingModelError(
            "The studio needs the package 'gradio', which is not installed.",
            hint="Install it: pip install 'facegen[web]'",
        )


@dataclass(frozen=True)
class Door:
    """How one comes in: by a password where there is one; with `own_host` from this computer alone."""

    password: str | None
    port: int
    own_host: bool


def build_app(model: ModelProcess, name: str, folder: Path, door: Door) -> Any:
    """The whole web application, which keeps all its files in `folder`."""
    uploads = folder.resolve() / UPLOADS
    uploads.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported, which then asks nobody
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads / "examples")  # otherwise under the current folder
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)  # nobody looks at its counts of events
    import fastapi
    import gradio

    from facegen.studio.guard import MAX_UPLOAD_BYTES, Guard
    from facegen.studio.login import Login
    from facegen.studio.page import CSS_FILE, HEAD, build_page, theme

    windows = Windows()
    page, events = build_page(model, name, folder.resolve(), windows)
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        "/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=MAX_UPLOAD_BYTES,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=theme(),
        css_paths=CSS_FILE,
        head=HEAD,
    )
    login = None if door.password is None else Login(door.password, door.port)
    return Guard(app, folder, windows, events, login, own_host=door.own_host)


def _named(host: str) -> str:
    """The host as it stands in an address that this computer's browser can open."""
    if host in ("0.0.0.0", "::"):
        return HOST
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket bound to the host on that port, or on the first free one from 7860."""
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise _not_here(host) from error
    for candidate in [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + TRIED_PORTS):
        listener = socket.socket(family)
        if os.name == "posix":  # a port just left may be used at once; on Windows it would be shared
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise _not_here(host) from error
            if port is not None:
                why = error.strerror or "it is taken"
                raise UsageError(
                    f"Port {port} on {host} cannot be used: {why}.",
                    hint="Give another --port, or none to use the first free one.",
                ) from error
            continue
        return listener
    last = DEFAULT_PORT + TRIED_PORTS - 1
    raise UsageError(f"The ports {DEFAULT_PORT} to {last} are all taken.", hint="Give another with --port.")


def _not_here(host: str) -> UsageError:
    return UsageError(
        f"'{host}' is no name or address of this computer.",
        hint="Give --host 0.0.0.0 for all its addresses, or leave it out for this computer alone.",
    )


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
