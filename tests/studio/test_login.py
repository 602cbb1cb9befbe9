"""The studio behind a password."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest
from support.generator_parts import save_run

from facegen.errors import UsageError
from facegen.studio import server
from facegen.studio.password import VARIABLE, is_loopback, password_for

pytest.importorskip("gradio", reason="the studio needs gradio: pip install 'facegen[web]'")
login = pytest.importorskip("facegen.studio.login")
guard = pytest.importorskip("facegen.studio.guard")
windows = pytest.importorskip("facegen.studio.windows")
PASSWORD = "open sesame"
HEADERS = {"host": "studio.example"}


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ask(tmp_path, clock):
    """Asks the studio's guard as a browser does, which keeps no cookie unless it is given."""
    door = login.Login(PASSWORD, 7860, clock)
    events = guard.Events(frozenset(), frozenset(), frozenset())
    app = guard.Guard(page, tmp_path, windows.Windows(), events, door, own_host=False)

    def ask(method, path, address="10.0.0.1", **more):
        async def go():
            transport = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://studio.example") as client:
                return await client.request(method, path, **more)

        import asyncio

        return asyncio.run(go())

    return ask


def enter(ask, password=PASSWORD, **more):
    return ask("POST", "/login", data={"password": password}, **more)


def cookie(answer):
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_without_the_password_there_is_only_the_page_that_asks_for_it(ask):
    assert ask("GET", "/").status_code == 401
    assert 'type="password"' in ask("GET", "/").text
    for path in ("/config", "/gradio_api/queue/data?session_hash=a", "/assets/x.js", "/gradio_api/info"):
        answer = ask("GET", path)
        assert (answer.status_code, answer.text) == (401, "The studio asks for its password first.")
    assert ask("POST", "/gradio_api/queue/join", json={}).status_code == 401
    assert ask("GET", "/").headers["content-security-policy"]


def test_the_password_gives_a_cookie_that_opens_the_studio_for_half_a_day(ask, clock):
    answer = enter(ask)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    told = answer.headers["set-cookie"]
    assert "HttpOnly" in told
    assert "SameSite=strict" in told
    assert PASSWORD not in told
    assert ask("GET", "/", headers=cookie(answer)).text == "inside"
    assert ask("GET", "/gradio_api/info", headers=cookie(answer)).status_code == 403  # not served, as ever
    clock.now += login.COOKIE_SECONDS
    assert ask("GET", "/", headers=cookie(answer)).status_code == 401


@pytest.mark.parametrize("wrong", ["", "open sesam", PASSWORD + " ", "é", "x" * 10_000])
def test_anything_else_is_refused(ask, wrong):
    answer = enter(ask, wrong)
    assert answer.status_code in (401, 413)
    assert "That is not the password." in answer.text
    assert "set-cookie" not in answer.headers


def test_a_cookie_made_elsewhere_or_altered_is_refused(ask):
    name, value = cookie(enter(ask))["cookie"].split("=")
    ends, _, signature = value.partition(".")
    for forged in (f"{int(ends) + 1}.{signature}", f"{ends}.", f"{ends}.{'0' * 64}", "", ".", "é.é"):
        headers = {"cookie": f"{name}={forged}".encode()}
        assert ask("GET", "/", headers=headers).status_code == 401


def test_guessing_is_slow_for_an_address_and_for_all_together(ask, clock):
    for _ in range(login.MAX_GUESSES):
        assert enter(ask, "wrong").status_code == 401
    refused = enter(ask)  # even with the password
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert enter(ask, address="10.0.0.2").status_code == 303
    for number in range(login.MAX_GUESSES_OF_ALL):
        enter(ask, "wrong", address=f"10.1.0.{number}")
    assert enter(ask, address="10.0.0.2").status_code == 429
    clock.now += login.WINDOW_SECONDS + 1
    assert enter(ask).status_code == 303


def test_a_page_elsewhere_cannot_send_the_form(ask):
    for origin in ("https://evil.example", "null"):
        answer = enter(ask, headers={"origin": origin})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert enter(ask, headers={"origin": "http://studio.example"}).status_code == 303


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("localhost.example", False),
    ],
)
def test_a_host_that_others_reach_has_a_password(host, alone, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    password, is_made_up = password_for(host, None)
    assert is_loopback(host) is alone
    assert (password is None) is alone
    assert is_made_up is not alone
    assert alone or len(password or "") >= 16
    assert alone or password != password_for(host, None)[0]


def test_the_password_comes_from_a_file_or_the_environment_where_children_do_not_see_it(
    tmp_path, monkeypatch
):
    file = tmp_path / "password.txt"
    file.write_text("from the file\n", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, "from outside")
    assert password_for("127.0.0.1", None) == ("from outside", False)
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "from outside")
    assert password_for("0.0.0.0", file) == ("from the file", False)


def test_a_password_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "password.txt"
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        password_for("0.0.0.0", file)
    file.write_bytes(b"\xff\xfe\xff\xfe\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read: it is not UTF-8"):
        password_for("0.0.0.0", file)
    file.write_text("short\n", encoding="utf-8")
    with pytest.raises(UsageError, match="has 5 characters, and 8 are the least"):
        password_for("0.0.0.0", file)
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(UsageError, match=f"The password in {VARIABLE} has 0 characters"):
        password_for("0.0.0.0", None)


@pytest.mark.parametrize("host", ["no.such.name.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_refused(host):
    with pytest.raises(UsageError, match=f"'{host}' is no name or address of this computer"):
        server._listening(host, None)


@pytest.mark.slow
def test_opened_to_others_it_makes_up_a_password_and_tells_it_once(tmp_path):
    run = save_run(tmp_path)
    command = [sys.executable, "-c", "from facegen.cli.app import main; main()", "studio", str(run)]
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    process = subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--no-browser", "--device", "cpu"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = []
    while not told or "told this once" not in told[-1]:
        assert process.poll() is None
        told.append(process.stderr.readline())
    password = told[-1].split(": ", 1)[1].strip()
    url = next(word for line in told for word in line.split() if word.startswith("http://"))
    try:
        for _ in range(100):
            try:
                assert httpx.get(url, timeout=5).status_code == 401
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert httpx.post(f"{url}login", data={"password": "a guess"}).status_code == 401
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.post("/login", data={"password": password}).status_code == 303
            assert "facegen studio" in client.get("/").text
            assert client.get("/config").json()["dependencies"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    assert password not in rest
    assert "a guess" not in rest
    assert "is not encrypted" in "".join(told)
