"""A loopback S3 server (moto), and a proxy before it that can cut connections or deny access."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def s3_server() -> Iterator[str]:
    """An empty S3 server with the bucket `bucket`; gives its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_bucket(Bucket="bucket")
        yield address
    finally:
        server.stop()


@contextmanager
def proxy(
    address: str, cuts: Callable[[str, int], bool] = lambda path, count: False, *, denies: bool = False
) -> Iterator[str]:
    """A server that hands on to `address`; what `cuts(path, number of request)` says ends in its middle.

    One that `denies` answers everything with 403.
    """
    counts: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _hand_on(self) -> None:
            if denies:
                self.send_error(403)
                return
            path = self.path.partition("?")[0]
            key = f"{self.command} {path}"
            counts[key] = counts.get(key, 0) + 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            onward = HTTPConnection(re.sub("^http://", "", address), timeout=10)
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
            onward.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            if self.command == "GET" and cuts(path, counts[key]):
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            elif self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _hand_on

        def log_message(self, format: str, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
