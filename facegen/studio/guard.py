"""ASGI middleware between the browser and Gradio: who may ask, for what, and how much."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from facegen.studio.answers import guarded
from facegen.studio.folder import UPLOADS, remove_leftovers, tidy
from facegen.studio.login import Login
from facegen.studio.windows import Stream, Windows

OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
ROUTES = re.compile(  # what the page needs; Gradio offers much more, such as fetching other hosts' files
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static)/.+"
    r"|/gradio_api/(theme\.css|startup-events|queue/join|queue/data|upload|upload_progress|cancel|reset/?"
    r"|run/predict|heartbeat/\w+|file=.+)"
)
JOIN, RUN = "/gradio_api/queue/join", "/gradio_api/run/predict"
UPLOAD, ANSWERS = "/gradio_api/upload", "/gradio_api/queue/data"
WINDOW = re.compile(r"\w{1,64}")  # what Gradio calls a session
MAX_EVENT_BYTES = 1_000_000  # switches, words and the names of files; pictures are uploaded, not sent along
MAX_UPLOAD_BYTES = 50_000_000
FORM_BYTES = 10_000  # around an uploaded file
MAX_AT_ONCE = {JOIN: 32, RUN: 32, UPLOAD: 4}  # requests of a kind that are answered at the same time
PATIENCE_SECONDS = 30.0  # for the next bytes of a request, and until a client takes what it is sent
NOT_SERVED = "The studio does not serve this."


@dataclass(frozen=True)
class Events:
    """Numbers of the page's events: all, those that wait in its queue, and those that draw."""

    known: frozenset[int]
    queued: frozenset[int]
    drawing: frozenset[int]


class Refused(Exception):
    """A request that is not passed on: the status and the words of the answer."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status, self.told = status, told


class Guard:
    """Only this computer's own page is answered (a site elsewhere could otherwise send requests to 127.0.0.1,
    by a form or by a name that resolves to it), or whoever gave the password where there is a `login`; only
    on the routes the page needs, and of files only those in `folder`'s uploads. Nobody may ask for more than
    the limits above and those of `windows`.
    """

    def __init__(
        self, app: Any, folder: Path, windows: Windows, events: Events, login: Login | None, *, own_host: bool
    ) -> None:
        """With `own_host` the page is asked for by the names of this computer for itself alone."""
        self._app, self._folder = app, folder.resolve()
        self._windows, self._events, self._login, self._own_host = windows, events, login, own_host
        self._at_once: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            # as if the browser took no compressed answers, so that pages can be read here
            headers = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
            scope, send = {**scope, "headers": headers}, guarded(send)
            try:
                await self._answer(scope, _hurried(receive), send)
            except Refused as refused:
                await JSONResponse({"detail": refused.told}, refused.status)(scope, receive, send)
            except (ClientDisconnect, TimeoutError, asyncio.CancelledError):
                return  # nobody is there to hear of it, or the studio closes

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        self._check_names(headers)
        if self._login is not None and not self._login.knows(scope):
            await self._login(scope, receive, send)
            return
        self._check_path(path)
        with self._place(path):
            if path in (JOIN, RUN):
                await self._event(scope, receive, send)
            elif path == UPLOAD:
                await self._upload(scope, receive, send)
            elif path == ANSWERS:
                await self._answers(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    def _check_names(self, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._own_host and not OWN_HOST.fullmatch(host):
            raise Refused(403, NOT_SERVED)
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, NOT_SERVED)

    def _check_path(self, path: str) -> None:
        _, found, file = path.partition("/gradio_api/file=")
        if not ROUTES.fullmatch(path) or (found and not self._is_own(file)):
            raise Refused(403, NOT_SERVED)

    def _is_own(self, file: str) -> bool:
        """Whether a file is in the studio's folder, links and dots resolved, however often it is quoted."""
        while (plain := unquote(file)) != file:
            file = plain
        if "\0" in file or not Path(file).is_absolute():
            return False
        try:
            return Path(file).resolve().is_relative_to(self._folder / UPLOADS)
        except (OSError, RuntimeError):
            return False

    @contextmanager
    def _place(self, path: str) -> Iterator[None]:
        """One of the places that requests of a kind have at once."""
        if path not in MAX_AT_ONCE:
            yield
            return
        if self._at_once[path] >= MAX_AT_ONCE[path]:
            raise Refused(429, "The studio is busy. Try again in a moment.")
        self._at_once[path] += 1
        try:
            yield
        finally:
            self._at_once[path] -= 1

    async def _event(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an event on that names no foreign file, and that waits in the queue where it should."""
        body = await _body(receive)
        event = event_of(body)
        number, window = (event.get(key) for key in ("fn_index", "session_hash"))
        is_queued = scope["path"] == JOIN
        if (
            type(number) is not int
            or number not in self._events.known
            or (number in self._events.queued) is not is_queued
            or not (isinstance(window, str) and WINDOW.fullmatch(window))
            or not all(map(self._is_own, files_named(event)))
        ):
            raise Refused(403, NOT_SERVED)
        receive = _again(body, receive)
        if number not in self._events.drawing:
            await self._app(scope, receive, send)
        elif refusal := self._windows.take(window):
            raise Refused(429, refusal)
        else:
            await self._drawing(window, scope, receive, send)

    async def _drawing(self, window: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Put a drawing into the queue, or forget it if the queue does not take it."""
        is_taken = False

        async def send_on(message: Message) -> None:
            nonlocal is_taken
            is_taken = is_taken or message.get("status") == 200
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            if not is_taken:
                self._windows.release(window)

    async def _answers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of what a window is told."""
        window = "".join(parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", []))
        if not WINDOW.fullmatch(window):
            raise Refused(403, NOT_SERVED)
        with self._windows.listening(window) as stream:
            await self._app(scope, receive, _noted(send, stream))

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on up to its limit, and keep the folder small."""
        told = f"An upload is at most {MAX_UPLOAD_BYTES // 10**6} MB."
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_UPLOAD_BYTES + FORM_BYTES:
            raise Refused(413, told)
        left = MAX_UPLOAD_BYTES + FORM_BYTES

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return {"type": "http.disconnect"} if left < 0 else message

        async def send_on(message: Message) -> None:
            if left >= 0:
                await send(message)

        try:
            await self._app(scope, receive_some, send_on)
        except ClientDisconnect:
            if left >= 0:
                raise
        finally:
            if self._at_once[UPLOAD] == 1:
                remove_leftovers(self._folder)
            tidy(self._folder)
        if left < 0:
            raise Refused(413, told)


def event_of(body: bytes) -> dict[str, Any]:
    """The event that a request tells.

    Raises:
        Refused: it tells none.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise Refused(403, NOT_SERVED)
    return event


def files_named(event: dict[str, Any]) -> list[str]:
    """Paths of all files an event names (Gradio would open or even download them)."""
    values: list[Any] = [event]
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


async def _body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        ClientDisconnect: it broke off.
        Refused: it is too long for an event.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_EVENT_BYTES:
            raise Refused(413, f"A request is at most {MAX_EVENT_BYTES:,} bytes.")
    return bytes(body)


def _hurried(receive: Receive) -> Receive:
    """Receives a request's body, whose sender is gone if nothing more of it comes; then when that leaves."""
    is_whole = False

    async def next_message() -> Message:
        nonlocal is_whole
        if is_whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), PATIENCE_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}
        is_whole = not message.get("more_body", False)
        return message

    return next_message


def _noted(send: Send, stream: Stream) -> Send:
    """Notes in `stream` while the client does not take what is sent; it is gone if it takes too long."""

    async def send_on(message: Message) -> None:
        stream.is_full = True
        await asyncio.wait_for(send(message), PATIENCE_SECONDS)
        stream.is_full = False

    return send_on


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives a body that has been read already, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
