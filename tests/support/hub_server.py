"""A hub on the loopback, with models and data sets in memory; it can cut off, alter, hold or refuse."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from support.hub_uploads import key_of, taken


class HubServer:
    """Data sets by name, models by "models/" and their name, and revision, each a mapping file -> bytes.
    Faults are counted down per file. A token of `tokens` may write what its owner has."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.tokens: dict[str, str] = {"hf_test": "me"}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}  # what was sent, by its sha256, committed or not
        self.commits: list[str] = []  # repositories, in the order of their commits
        self.held_after: int | None = None  # so many large files pass each way, the next waits
        self.passed: Counter[str] = Counter()  # large files, by "sent" and "taken"
        self.held = threading.Event()  # one is waiting
        self.cut: Counter[str] = Counter()  # so many answers end in the middle
        self.alter: Counter[str] = Counter()  # so many answers have a byte changed
        self.status: int | None = None  # every question is answered with this
        self.answer: bytes | None = None  # what every question for a list of files is answered with
        self.sent: Counter[str] = Counter()  # files asked for with GET
        self.url = ""

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Put up a data set; returns its commit."""
        self.repos.setdefault(repo, {})[revision] = files
        return commit_of(files)

    def hold(self, way: str) -> None:
        """Wait for ever with what is more than may pass."""
        if self.held_after is not None and self.passed[way] >= self.held_after:
            self.held.set()
            while self.held_after is not None:
                time.sleep(0.01)
        self.passed[way] += 1

    def find(self, repo: str, revision: str) -> dict[str, bytes] | None:
        revisions = self.repos.get(repo, {})
        by_commit = {commit_of(files): files for files in revisions.values()}
        return revisions[revision] if revision in revisions else by_commit.get(revision)


def commit_of(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for name, data in sorted(files.items()):
        digest.update(name.encode() + data)
    return digest.hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def is_large(name: str) -> bool:
    return name.endswith((".parquet", ".safetensors", ".png"))


def sibling(name: str, data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
    if is_large(name):
        sha = hashlib.sha256(data).hexdigest()
        told["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 130}
    return told


class _Server(ThreadingHTTPServer):
    """One that does not tell of clients that went away, as killed ones do."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running hub; `url` is what HF_ENDPOINT has to be."""
    hub = HubServer()
    server = _Server(("127.0.0.1", 0), _handler_of(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler_of(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._take()

        def do_PUT(self) -> None:
            self._take()

        def _take(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, told = taken(hub, urlsplit(self.path).path, data, token)
            self._send(status, {"Content-Type": "application/json"}, json.dumps(told).encode(), True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            path = urlsplit(self.path).path
            if hub.status is not None:
                self._send(hub.status, {}, b"", body)
            elif found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                self._list(key_of(found[1], found[2]), unquote(found[3] or "main"), body)
            elif found := re.fullmatch(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                name = key_of(found[1] or "models", found[2])
                self._file(name, unquote(found[3]), unquote(found[4]), body)
            else:
                self._send(404, {}, b"", body)

        def _list(self, repo: str, revision: str, body: bool) -> None:
            files = hub.find(repo, revision)
            if files is None:
                self._refuse("RevisionNotFound" if repo in hub.repos else "RepoNotFound", body)
                return
            told = {
                "id": repo.removeprefix("models/"),
                "sha": commit_of(files),
                "private": repo in hub.private,
                "siblings": [sibling(name, data) for name, data in files.items()],
            }
            answer = json.dumps(told).encode() if hub.answer is None else hub.answer
            self._send(200, {"Content-Type": "application/json"}, answer, body)

        def _file(self, repo: str, revision: str, name: str, body: bool) -> None:
            files = hub.find(repo, revision)
            if files is None or name not in files:
                self._refuse("EntryNotFound", body)
                return
            data = files[name]
            etag = hashlib.sha256(data).hexdigest() if is_large(name) else blob_id(data)
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit_of(files), "Accept-Ranges": "bytes"}
            if body:
                hub.sent[name] += 1
                if hub.alter[name] > 0:
                    hub.alter[name] -= 1
                    data = data[:-1] + bytes([data[-1] ^ 1])
            status, start = 200, 0
            if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                status, start = 206, int(found[1])
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if body and is_large(name):
                hub.hold("sent")
            cut = body and hub.cut[name] > 0
            if cut:
                hub.cut[name] -= 1
            self._send(status, headers, data[start:], body, cut=cut)

        def _refuse(self, code: str, body: bool) -> None:
            self._send(404, {"X-Error-Code": code}, b"", body)

        def _send(
            self, status: int, headers: dict[str, str], data: bytes, body: bool, *, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.close_connection = True

    return Handler


def parquet_bytes(columns: dict[str, Any], *, features: dict[str, Any] | None = None, rows: int = 4) -> bytes:
    """A parquet file with row groups of `rows`; a list of bytes under "image" becomes image structs."""
    arrays = dict(columns)
    if arrays.get("image") and isinstance(arrays["image"][0], bytes):
        cells = [{"bytes": data, "path": None} for data in arrays["image"]]
        arrays["image"] = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table(arrays)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows)
    return buffer.getvalue()
