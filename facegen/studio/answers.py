"""What the studio answers: headers that keep the browser from asking other hosts, nothing that asks them."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

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
ELSEWHERE = re.compile(  # tags that make a browser, or whoever previews the page, ask another host
    r"<(script|link|meta|img|iframe)\b[^>]*(?:src|href|content)=[\"'](?:https?:)?//[^>]*>(?:\s*</\1>)?",
    re.IGNORECASE,
)


def without_other_hosts(page: str) -> str:
    """HTML without the tags that ask other hosts for something."""
    return ELSEWHERE.sub("", page)


def guarded(send: Send) -> Send:
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
