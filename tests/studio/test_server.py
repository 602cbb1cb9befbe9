"""Who the studio answers, and what it serves."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("gradio", reason="the studio needs gradio: pip install 'facegen[web]'")

from support.generator_parts import save_run

from facegen.errors import MissingModelError, UsageError
from facegen.studio import server
from facegen.studio.answers import POLICY, without_other_hosts
from facegen.studio.guard import Refused, event_of, files_named

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Gradio's loops
FILE_ROUTES = (
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/file=",
    "/gradio_api/stream/",
    "/static/",
    "/assets/",
)


@pytest.fixture
def studio(served):
    return served


def get(url, path, **headers):
    """A request whose path is sent exactly as it stands; httpx would tidy dots away."""
    host, port = url.removeprefix("http://").split(":")
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if "Host" not in headers:
        lines.append(f"Host: {host}:{port}")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_the_page_names_no_other_host_as_something_to_fetch(studio):
    answer = httpx.get(studio)
    assert answer.status_code == 200
    assert "facegen studio: tiny" in answer.text
    asked = re.findall(
        r"<(?:script|link|img|meta|iframe)[^>]*(?:src|href|content)=[\"']((?:https?:)?//[^\"']*)", answer.text
    )
    assert asked == []
    assert not re.search(r"fonts\.g|cdn|googleapis", answer.text.split("window.gradio_config")[0])


def test_every_answer_carries_the_policy(studio):
    for path in ("/", "/theme.css", "/gradio_api/file=/etc/passwd", "/nowhere"):
        headers = httpx.get(studio + path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
    assert "http" not in POLICY


def test_telemetry_is_off(studio):
    import os

    from gradio import analytics

    config = httpx.get(f"{studio}/config").json()
    assert config["analytics_enabled"] is False
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert analytics.analytics_enabled() is False


@pytest.mark.parametrize("route", FILE_ROUTES)
def test_files_outside_its_folder_are_refused(studio, folder, tmp_path, route):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    outside = folder.parent / "beside.png"
    outside.write_bytes(b"secret")
    inside = folder.resolve() / "files"
    dots = "/".join([".."] * 12)
    paths = [
        secret,
        f"{inside}/../../beside.png",
        f"{inside}/%2e%2e/%2e%2e/beside.png",
        f"{inside}/..%2f..%2fbeside.png",
        f"{inside}/%252e%252e/%252e%252e/beside.png",
        f"{dots}{secret}",
        f"{dots.replace('..', '%2e%2e')}{secret}",
        f"/{secret}",
        f"//{secret}",
        f"file://{secret}",
        f"{secret}%00.png",
        Path(server.__file__),
        "pyproject.toml",
        "/etc/passwd",
        "http://127.0.0.1:1/x.png",
    ]
    for path in paths:
        status, body = get(studio, f"{route}{path}")
        assert status in (400, 403, 404), path
        assert b"secret" not in body
        assert b"root:" not in body


def test_a_link_out_of_its_folder_is_refused(studio, folder, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    link = folder.resolve() / "files" / "link.png"
    link.symlink_to(secret)
    assert get(studio, f"/gradio_api/file={link}")[0] == 403
    real = link.with_name("real.png")
    real.write_bytes(b"ours")
    assert get(studio, f"/gradio_api/file={real}") == (200, b"ours")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.org/",
        "/gradio_api/vibe-code",
        "/gradio_api/runs",
        "/gradio_api/info",
        "/gradio_api/dev/reload",
        "/gradio_api/call/draw",
        "/monitoring",
        "/docs",
    ],
)
def test_routes_that_the_page_does_not_need_are_closed(studio, path):
    assert get(studio, path)[0] == 403


def test_other_names_and_other_sites_are_not_answered(studio):
    port = studio.rsplit(":", 1)[1]
    assert get(studio, "/", Host=f"evil.example:{port}")[0] == 403
    assert get(studio, "/", Host=f"localhost:{port}")[0] == 200
    assert get(studio, "/", Host="[bad")[0] in (400, 403)
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null"):
        assert get(studio, "/config", Origin=origin)[0] == 403
    assert get(studio, "/config", Origin=studio)[0] == 200


def test_it_listens_on_this_computer_alone():
    with server._listening(server.HOST, None) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_an_event_cannot_name_files_outside_or_elsewhere(make_visitor, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    visitor = make_visitor()

    def ask(path):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        return visitor.ask(visitor.event("photo-shown", photo=file))

    (path,) = visitor.upload(b"ours", "x.png").json()
    assert ask(path).status_code == 200
    assert "&#x27;x.png&#x27; cannot be used" in str(list(visitor.answers()))
    local = [secret, "/etc/passwd", "../../etc/passwd", f"{path}/../../../../secret.png", server.__file__, ""]
    for other in (*local, "http://127.0.0.1:1/x.png", " https://example.org/x.png", "file:///etc/passwd"):
        assert ask(str(other)).status_code == 403


def test_files_are_found_wherever_an_event_names_them():
    event = {"data": ["http is a word", {"path": "/a"}, [{"value": {"path": "/b", "url": None}}]]}
    assert sorted(files_named(event)) == ["/a", "/b"]


@pytest.mark.parametrize("body", [b"no json", b"[" * 200_000, b"[]", b""])
def test_what_is_no_event_is_refused(body):
    with pytest.raises(Refused):
        event_of(body)


def test_an_uploaded_page_is_never_shown_as_a_page(studio):
    files = {"files": ("x.html", b"<script>1</script>", "text/html")}
    (path,) = httpx.post(f"{studio}/gradio_api/upload", files=files).json()
    answer = httpx.get(f"{studio}/gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "html" not in answer.headers["content-type"]


def test_tags_that_ask_other_hosts_are_taken_out():
    page = '<link href="https://fonts.example/x"><script src="//cdn.example/x.js"></script>'
    page += '<script src="./x.js"></script>'
    assert without_other_hosts(page) == '<script src="./x.js"></script>'


def test_a_taken_port_is_an_error_if_asked_for_and_passed_over_if_not(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {taken} on 127.0.0.1 cannot be used"):
            server._listening(server.HOST, taken)
        monkeypatch.setattr(server, "DEFAULT_PORT", taken)
        with server._listening(server.HOST, None) as listener:
            assert taken < listener.getsockname()[1] < taken + server.TRIED_PORTS


def test_without_gradio_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match=r"pip install 'facegen\[web\]'"):
        server.check_installed()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_however_it_ends_its_folder_is_removed(tmp_path, name):
    run, folder = save_run(tmp_path), tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-c", "from facegen.cli.app import main; main()", "studio", str(run)]
    process = subprocess.Popen(
        [*command, "--no-browser", "--device", "cpu"],
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "is open at" not in process.stderr.readline():
        assert process.poll() is None
    assert list(folder.glob("facegen-studio-*"))
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=30)
    assert told.splitlines()[-1] == "The studio is closed."
    assert "Traceback" not in told
    assert not list(folder.glob("facegen-studio-*"))
