"""A visitor of the studio without a browser: speaks to its page as Gradio's own scripts do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx

JOIN, RUN = "/gradio_api/queue/join", "/gradio_api/run/predict"


class Visitor:
    """One window of the page. `window` is what it calls itself."""

    def __init__(self, url: str, timeout: float = 120.0) -> None:
        self.http = httpx.Client(base_url=url, timeout=timeout)
        self.window = uuid4().hex[:12]
        self._config = self.http.get("/config").json()
        self._components = {one["id"]: one["props"] for one in self._config["components"]}

    def close(self) -> None:
        self.http.close()

    def event(self, shows: str, **values: Any) -> dict[str, Any]:
        """The event that fills the component `shows` from the most fields, the fields given by label or by
        name, the others as they stand."""
        shown = next(key for key, props in self._components.items() if props.get("elem_id") == shows)
        events = [one for one in self._config["dependencies"] if shown in one["outputs"]]
        found = max(events, key=lambda one: len(one["inputs"]))
        data = []
        for key in found["inputs"]:
            props = self._components[key]
            names = (props.get("label"), props.get("elem_id"))
            data.append(next((values[name] for name in names if name in values), props.get("value")))
        return {"fn_index": found["id"], "data": data, "session_hash": self.window, "trigger_id": None}

    def ask(self, event: dict[str, Any], **headers: str) -> httpx.Response:
        """Put an event into the queue."""
        return self.http.post(JOIN, json=event, headers=headers)

    def answers(self) -> Iterator[dict[str, Any]]:
        """What the window is told, until all that it asked is answered or the reader leaves."""
        query = {"session_hash": self.window}
        with self.http.stream("GET", "/gradio_api/queue/data", params=query) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def draw(self, **values: Any) -> list[str]:
        """Draw, wait, and return what the page was told, word for word.

        Raises:
            httpx.HTTPStatusError: the studio refused.
        """
        self.ask(self.event("pictures", **values)).raise_for_status()
        return [json.dumps(answer) for answer in self.answers()]

    def upload(self, data: bytes, name: str = "photo.png") -> httpx.Response:
        return self.http.post("/gradio_api/upload", files={"files": (name, data)})
