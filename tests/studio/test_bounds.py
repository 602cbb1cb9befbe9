"""How much the studio does for whom: bad clients at a real server."""

import asyncio
import gc
import json
import socket
import threading
import time

import httpx
import pytest
import torch
from studio.test_state import png_bomb

from facegen.formats.images import encode_png
from facegen.studio.state import MAX_CHARACTERS

gr = pytest.importorskip("gradio", reason="the studio needs gradio: pip install 'facegen[web]'")
connections = pytest.importorskip("facegen.studio.connections")
guard = pytest.importorskip("facegen.studio.guard")
windows = pytest.importorskip("facegen.studio.windows")
JOIN, RUN, UPLOAD = guard.JOIN, guard.RUN, guard.UPLOAD

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Gradio's loops
SOON_SECONDS = 20.0  # for computers that do other work


def until(happens):
    ends = time.monotonic() + SOON_SECONDS
    while time.monotonic() < ends:
        if happens():
            return True
        time.sleep(0.05)
    return False


def connected(served):
    host, port = served.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=SOON_SECONDS)


def test_a_window_has_one_drawing_and_other_windows_theirs(make_visitor):
    greedy, other = make_visitor(), make_visitor()
    long = greedy.event("pictures", Pictures=64, Steps=100)
    assert greedy.ask(long).status_code == 200
    refused = [greedy.ask(long) for _ in range(3)]
    assert [answer.status_code for answer in refused] == [429] * 3
    assert "has a drawing that runs or waits already" in refused[0].json()["detail"]
    answers = greedy.answers()
    assert next(answers)["msg"] == "estimation"
    stop = {"fn_index": stops(greedy), "data": [], "session_hash": greedy.window}
    assert greedy.http.post(RUN, json=stop).status_code == 200
    assert "Stopped." in str(list(answers))
    assert "Done in" in other.draw(Pictures=1)[-2]


def stops(visitor):
    config = visitor.http.get("/config").json()
    button = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "stop")
    return next(one["id"] for one in config["dependencies"] if [button, "click"] in one["targets"])


def test_a_flood_of_windows_is_refused_clearly_and_forgotten(make_visitor, monkeypatch):
    monkeypatch.setattr(windows, "GRACE_SECONDS", 2.0)
    visitor = make_visitor()
    event = visitor.event("pictures", Pictures=64, Steps=100)
    answers = [visitor.ask({**event, "session_hash": f"flood{number}"}) for number in range(20)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert "8 drawings run or wait already" in answers[-1].json()["detail"]
    assert until(lambda: visitor.ask(visitor.event("pictures", Pictures=1)).status_code == 200)
    assert "Done in" in str(list(visitor.answers()))


def test_what_a_window_that_left_had_asked_for_is_not_drawn(make_visitor):
    leaving, staying = make_visitor(), make_visitor()
    leaving.ask(leaving.event("pictures", Prompt="a smiling man", Pictures=64, Steps=100))
    answers = leaving.answers()
    assert any("Step " in str(answer) for answer in answers)
    answers.close()
    whole = str(staying.draw(Prompt="eyeglasses", Pictures=1))
    assert "Done in" in whole
    assert "a smiling man" not in whole  # neither in the history


def test_too_much_in_one_request_is_refused_in_words(make_visitor):
    visitor = make_visitor()
    told = visitor.http.post(RUN, json=visitor.event("reading", Prompt="a" * (MAX_CHARACTERS + 1))).text
    assert f"at most {MAX_CHARACTERS} characters" in told
    assert f"at most {MAX_CHARACTERS} characters" in str(visitor.draw(Prompt="a" * (MAX_CHARACTERS + 1)))
    assert visitor.ask({**visitor.event("pictures"), "more": "a" * 2_000_000}).status_code == 413


def test_an_event_takes_the_way_it_is_meant_to_take(make_visitor):
    visitor = make_visitor()
    drawing, words = visitor.event("pictures"), visitor.event("reading", Prompt="a man")
    assert visitor.http.post(RUN, json=drawing).status_code == 403  # would pass the queue by
    assert visitor.http.post(JOIN, json=words).status_code == 403
    for wrong in (-1, 10**6, "0", True, None, 1.0):
        assert visitor.ask({**drawing, "fn_index": wrong}).status_code == 403
    for wrong in ("", "a/b", "a" * 65, None, 7):
        assert visitor.ask({**drawing, "session_hash": wrong}).status_code == 403


def test_only_so_many_requests_are_answered_at_once(make_visitor, monkeypatch):
    visitor = make_visitor()
    monkeypatch.setitem(guard.MAX_AT_ONCE, RUN, 0)
    refused = visitor.http.post(RUN, json=visitor.event("reading", Prompt="a man"))
    assert (refused.status_code, refused.json()["detail"]) == (
        429,
        "The studio is busy. Try again in a moment.",
    )


def test_a_picture_that_would_fill_the_memory_is_refused(make_visitor):
    visitor = make_visitor()
    (path,) = visitor.upload(png_bomb(), "bomb.png").json()
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for shows in ("photo-shown", "mask-shown", "recalled"):
        event = visitor.event("mask-shown" if shows == "mask-shown" else "photo-shown", photo=file, mask=file)
        if shows == "recalled":
            event = {**event, "fn_index": recalls(visitor), "data": [file]}
        assert visitor.ask(event).status_code == 200
        assert "bomb.png" in str(list(visitor.answers()))


def test_a_mask_is_a_file_that_was_uploaded_and_within_the_bounds_of_a_photo(make_visitor, tmp_path):
    visitor = make_visitor()
    outside = {"path": str(tmp_path / "mask.png"), "meta": {"_type": "gradio.FileData"}}
    for event in (visitor.event("mask-shown", mask=outside), visitor.event("pictures", mask=outside)):
        assert visitor.ask(event).status_code == 403
    photo, mask = (
        {"path": visitor.upload(data, name).json()[0], "meta": {"_type": "gradio.FileData"}}
        for data, name in ((encode_png(torch.zeros(3, 16, 16).byte()), "me.png"), (png_bomb(), "bomb.png"))
    )
    asked = {"What to draw": "photo", "Prompt": "a man", "photo": photo, "mask": mask}
    told = str(visitor.draw(**asked))
    assert "bomb.png" in told
    assert "80,000,000 pixels" in told


def recalls(visitor):
    config = visitor.http.get("/config").json()
    button = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "recall")
    return next(one["id"] for one in config["dependencies"] if one["inputs"] == [button])


def test_too_large_an_upload_is_refused_before_it_is_read_or_where_it_becomes_too_large(
    served, folder, make_visitor, monkeypatch
):
    with connected(served) as connection:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {served[7:]}\r\nContent-Length: 60000000\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096)
    monkeypatch.setattr(guard, "MAX_UPLOAD_BYTES", 100_000)
    boundary = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'

    def parts():
        yield boundary
        for _ in range(20):
            yield bytes(10_000)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = httpx.post(served + UPLOAD, content=parts(), headers=headers, timeout=SOON_SECONDS)
    assert (answer.status_code, answer.json()["detail"]) == (413, "An upload is at most 0 MB.")
    assert until(lambda: not [path for path in (folder / "files").iterdir() if path.is_file()])


def test_an_upload_that_breaks_off_leaves_nothing(served, folder):
    with connected(served) as connection:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {served[7:]}\r\nContent-Length: 100000\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        head += '--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\nhalf'
        connection.sendall(head.encode())
        files = folder / "files"
        assert until(lambda: any(path.is_file() for path in files.iterdir()))
    assert until(lambda: not any(path.is_file() for path in files.iterdir()))


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: "])
def test_a_connection_that_says_nothing_more_is_closed(served, monkeypatch, begun):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with connected(served) as connection:
        connection.sendall(begun)
        assert connection.recv(4096) == b""


def test_a_body_that_never_comes_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE_SECONDS", 0.2)
    with connected(served) as connection:
        connection.sendall(f"POST {RUN} HTTP/1.1\r\nHost: {served[7:]}\r\nContent-Length: 9\r\n\r\n".encode())
        assert connection.recv(4096).split()[1:2] in ([], [b"500"])


def test_a_client_that_does_not_take_what_it_is_sent_is_left(monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE_SECONDS", 0.05)
    stream = windows.Stream(0.0)

    async def never(message):
        await asyncio.Event().wait()

    async def send():
        with pytest.raises(TimeoutError):
            await guard._noted(never, stream)({"type": "http.response.body"})

    thread = threading.Thread(target=asyncio.run, args=(send(),))
    thread.start()
    thread.join()
    assert stream.is_full


def test_a_window_that_draws_on_and_on_leaves_nothing_behind_in_the_server(make_visitor):
    visitor = make_visitor()
    visitor.draw(Pictures=1)
    before = shown_now()
    for seed in range(3):
        visitor.draw(Pictures=1, Seed=seed)
    assert shown_now() == before


def shown_now():
    gc.collect()
    return sum(isinstance(one, gr.HTML) for one in gc.get_objects())


def test_the_visitor_says_what_it_was_told(make_visitor):
    told = [json.loads(answer)["msg"] for answer in make_visitor().draw(Pictures=1)]
    assert (told[0], told[-1]) == ("estimation", "close_stream")
