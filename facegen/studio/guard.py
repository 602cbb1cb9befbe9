"""ASGI middleware between the browser and Gradio: who may ask, for what, and what the browser may fetch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

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
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.IGNORECASE)
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


class Guard:
    """Only this computer's own page is answered (a site elsewhere could otherwise send requests to 127.0.0.1,
    by a form or by a name that resolves to it), only on the routes the page needs, and of files only those in
    `files`. Answers carry the policy that keeps the browser from asking other hosts.
    """

    def __init__(self, app: Any, files: Path) -> None:
        self._app, self._files = app, files.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refused = self._is_refused(scope["path"], Headers(scope=scope))
            if not refused and scope["path"] in EVENT_ROUTES:
                body = await _body(Request(scope, receive))
                files = files_named(body)
                refused = files is None or not all(map(self._is_own, files))
                receive = _again(body, receive)
            app = PlainTextResponse("The studio does not serve this.", 403, HEADERS) if refused else self._app
            # as if the browser took no compressed answers, so that pages can be read here
            headers = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
            await app({**scope, "headers": headers}, receive, send if refused else _guarded(send))

    def _is_refused(self, path: str, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not OWN_HOST.fullmatch(host) or (origin is not None and origin.partition("://")[2] != host):
            return True
        _, found, file = path.partition("/gradio_api/file=")
        return not ROUTES.fullmatch(path) or (bool(found) and not self._is_own(file))

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


async def _body(request: Request) -> bytes:
    """The whole body of a request; nothing, which is no event, of one too long for it or broken off."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_EVENT_BYTES:
                return b""
    except ClientDisconnect:
        return b""
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives a body that has been read already, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _guarded(send: Send) -> Send:
    """Sends on what Gradio answers, with our headers, and pages without anything from elsewhere."""
    start: Message | None = None
    page = bytearray()

    async def send_on(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            headers.update(HEADERS)
            message = {**message, "headers": headers.raw}
            if "text/html" in headers.get("content-type", ""):
                start = message
                return
        elif start is not None:
            page.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            body = without_other_hosts(page.decode()).encode()
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
            await send(start)
            message = {"type": "http.response.body", "body": body}
        await send(message)

    return send_on
