"""Serving the studio on this computer alone: who may ask, for what, and what the browser may fetch."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import unquote, urlsplit

from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import Weights
from facegen.protocols import Progress
from facegen.studio.model_process import ModelProcess

HOST = "127.0.0.1"
DEFAULT_PORT = 7860
TRIED_PORTS = 20
MAX_UPLOAD = "50mb"
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio starts inline and compiles templates
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
ROUTES = re.compile(  # what the page needs; Gradio offers much more, such as fetching other hosts' files
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static)/.+"
    r"|/gradio_api/(theme\.css|startup-events|queue/join|queue/data|upload|upload_progress|cancel|reset/?"
    r"|run/predict|heartbeat/\w+|file=.+)"
)
EVENT_ROUTES = ("/gradio_api/queue/join", "/gradio_api/run/predict")
MAX_EVENT_BYTES = 4_000_000  # switches, words and the names of files; pictures are uploaded, not sent along
ELSEWHERE = re.compile(  # tags that make a browser, or whoever previews the page, ask another host
    r"<(script|link|meta|img|iframe)\b[^>]*(?:src|href|content)=[\"'](?:https?:)?//[^>]*>(?:\s*</\1>)?",
    re.IGNORECASE,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


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
        MissingModelError: gradio is not installed, or as `FaceGenerator.load`.
        UsageError: the port is taken, or as `FaceGenerator.load`.
    """
    check_installed()
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
                _server(app).run(sockets=[listener])
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


class Guard:
    """ASGI middleware between the browser and Gradio.

    Only this computer's own page is answered (a site elsewhere could otherwise send requests to 127.0.0.1, by
    a form or by a name that resolves to it), only on the routes the page needs, and of files only those in
    `files`. Answers carry the policy that keeps the browser from asking other hosts.
    """

    def __init__(self, app: Any, files: Path) -> None:
        self._app, self._files = app, files.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif self._is_refused(scope):
            await _refuse(send)
        else:
            if scope["path"] in EVENT_ROUTES:
                body = await _body(receive)
                files = None if body is None else files_named(body)
                if body is None or files is None or not all(map(self._is_own, files)):
                    await _refuse(send)
                    return
                receive = _Again(body, receive)
            await self._app(_without_compression(scope), receive, _Answer(send))

    def _is_refused(self, scope: Scope) -> bool:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if _host_name(f"//{host}") not in (HOST, "localhost"):
            return True
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return True
        path = str(scope["path"])
        if not ROUTES.fullmatch(path):
            return True
        _, found, file = path.partition("/gradio_api/file=")
        return bool(found) and not self._is_own(file)

    def _is_own(self, file: str) -> bool:
        """Whether a file is in the studio's folder, links and dots resolved, however often it is quoted."""
        while (plain := unquote(file)) != file:
            file = plain
        if "\0" in file or not Path(file).is_absolute():
            return False
        try:
            return Path(file).resolve().is_relative_to(self._files)
        except (OSError, RuntimeError):
            return False


class _Answer:
    """Sends on what Gradio answers, with our headers, and pages without anything from elsewhere."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            kept = [pair for pair in message["headers"] if pair[0].decode().lower() not in HEADERS]
            message = {**message, "headers": [*kept, *ours]}
            if any(name.lower() == b"content-type" and b"text/html" in value for name, value in kept):
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page(self._start)
            return
        await self._send(message)

    async def _send_page(self, start: Message) -> None:
        body = without_other_hosts(self._body.decode()).encode()
        kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        headers = [*kept, (b"content-length", str(len(body)).encode())]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None of one too long for an event, or broken off."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_EVENT_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


class _Again:
    """Receives a body that has been read already, then what comes after it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def files_named(body: bytes) -> list[str] | None:
    """Paths of all files an event names (Gradio would open or even download them); None of no event."""
    try:
        values = [json.loads(body)]
    except (ValueError, RecursionError):
        return None
    files = []
    while values:
        value = values.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                files.append(value["path"])
            values += value.values()
        elif isinstance(value, list):
            values += value
    return files


def without_other_hosts(page: str) -> str:
    """HTML without the tags that ask other hosts for something."""
    return ELSEWHERE.sub("", page)


def _without_compression(scope: Scope) -> Scope:
    """The request as if the browser took no compressed answers, so that pages can be read here."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]}


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), *((k.encode(), v.encode()) for k, v in HEADERS.items())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": b"The studio does not serve this."})


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


def _server(app: Any) -> Any:
    import uvicorn

    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
