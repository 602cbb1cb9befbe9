"""The studio behind a password: a page that asks for it, who gave it, and how often it may be guessed."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from html import escape
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

PATH = "/login"
COOKIE_SECONDS = 12 * 3600
MAX_FORM_BYTES = 4096
WINDOW_SECONDS = 60.0
MAX_GUESSES, MAX_GUESSES_OF_ALL = 5, 60  # wrong ones within a minute: of one address, of all
WRONG = "That is not the password."
TOO_MANY = "Too many wrong passwords. Wait a minute."
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>facegen studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 1rem system-ui, sans-serif; color: #1d3e41; background: #f0f7f6; display: grid;
  place-items: center; min-height: 90vh; }}
form {{ display: grid; gap: .8rem; width: min(20rem, 85vw); }}
input, button {{ font: inherit; padding: .6rem; border: 1px solid #579b9a; border-radius: .5rem; }}
button {{ color: #fff; background: #2f6f73; }}
</style></head>
<body><form method="post" action="{path}"><h1>facegen studio</h1>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus required>
<button>Open</button><p role="alert">{told}</p></form></body></html>"""


class Login:
    """Asks for the password; whoever gave it carries a cookie that only this studio can have made."""

    def __init__(self, password: str, port: int, clock: Callable[[], float] = time.time) -> None:
        self._password, self._key, self._clock = _digest(password), secrets.token_bytes(32), clock
        self._cookie = f"facegen_studio_{port}"  # browsers do not tell ports apart
        self._guesses = Guesses(clock)

    def knows(self, scope: Scope) -> bool:
        """Whether a request comes with the cookie of somebody who gave the password."""
        ends, _, signature = HTTPConnection(scope).cookies.get(self._cookie, "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(ends).encode()):
            return False
        return self._clock() < int(ends)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the page, or take the password that was typed there."""
        request = Request(scope, receive)
        if scope["path"] not in ("/", PATH):
            answer: Response = PlainTextResponse("The studio asks for its password first.", 401)
        elif scope["path"] == PATH and scope["method"] == "POST":
            answer = await self._answer(request)
        else:
            answer = _page("", 401)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                return _page(WRONG, 413)
        address = request.client.host if request.client else ""
        if self._guesses.are_too_many(address):
            return _page(TOO_MANY, 429)
        given = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        if not hmac.compare_digest(_digest(given), self._password):
            self._guesses.add(address)
            return _page(WRONG, 401)
        ends = str(int(self._clock()) + COOKIE_SECONDS)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie,
            f"{ends}.{self._signature(ends)}",
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def _signature(self, ends: str) -> str:
        return hmac.new(self._key, ends.encode(), sha256).hexdigest()


class Guesses:
    """Wrong passwords of the last minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque(maxlen=MAX_GUESSES_OF_ALL)

    def add(self, address: str) -> None:
        self._wrong.append((self._clock(), address))

    def are_too_many(self, address: str) -> bool:
        """Whether this address, or all together, have to wait."""
        while self._wrong and self._clock() - self._wrong[0][0] > WINDOW_SECONDS:
            self._wrong.popleft()
        own = sum(other == address for _, other in self._wrong)
        return own >= MAX_GUESSES or len(self._wrong) >= MAX_GUESSES_OF_ALL


def _page(told: str, status: int) -> Response:
    wait = {"retry-after": str(int(WINDOW_SECONDS))} if status == 429 else {}
    headers = {"cache-control": "no-store", **wait}
    return HTMLResponse(PAGE.format(path=PATH, told=escape(told)), status, headers)


def _digest(password: str) -> bytes:
    """Of one length, so that comparing takes as long whatever was typed."""
    return sha256(password.encode()).digest()
