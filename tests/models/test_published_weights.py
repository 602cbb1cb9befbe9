"""Reading and finding weights: nothing a file holds is run, and absence is told with its remedy."""

from __future__ import annotations

import errno
import hashlib
import pickle
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegen.errors import DataError, MissingModelError, StorageError
from facegen.models.feature_networks import NETWORKS, load_extractor
from facegen.models.published_weights import PUBLISHED_LPIPS, PublishedWeights, locate_weights, read_weights
from facegen.progress import SilentProgress

CPU = torch.device("cpu")


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


CONTENT = b"weights" * 100_000


class Server:
    """Serves `content` on the loopback; the first `cuts` answers break off half-way."""

    def __init__(self) -> None:
        self.content, self.cuts, self.asked = CONTENT, 0, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                whole = outer.asked > outer.cuts
                self.wfile.write(outer.content if whole else outer.content[: len(outer.content) // 2])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        digest = hashlib.sha256(CONTENT).hexdigest()
        self.published = PublishedWeights(f"http://127.0.0.1:{self.http.server_port}/net.pth", digest)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def located(published: PublishedWeights, given: Path | None = None) -> Path:
    return locate_weights("net", published, given, SilentProgress())


@pytest.mark.parametrize("how", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_hostile_pickle_is_refused_and_not_run(tmp_path: Path, how):
    how({"weight": Canary(tmp_path / "canary")}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"run code|not a readable"):
        read_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["inception", "vgg16", "clip"])
def test_extractors_refuse_hostile_weights(tmp_path: Path, name: str):
    torch.save({"weight": Canary(tmp_path / "canary")}, tmp_path / "weights.pth")
    with pytest.raises(DataError):
        load_extractor(name, tmp_path / "weights.pth", CPU, SilentProgress())
    assert not (tmp_path / "canary").exists()


def test_tensors_are_read_from_torch_and_safetensors_files(tmp_path: Path):
    state = {"weight": torch.arange(3.0)}
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        torch.testing.assert_close(read_weights(tmp_path / name), state)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_damaged_weights_are_a_data_error(tmp_path: Path, content: bytes):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(DataError):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", NETWORKS)
def test_offline_the_error_comes_quickly_and_says_what_to_do(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    started = time.monotonic()
    with pytest.raises(MissingModelError) as caught:
        load_extractor(name, None, CPU, SilentProgress())
    assert time.monotonic() - started < 30  # refused at once; a busy machine may be slow all the same
    assert caught.value.exit_code == 4
    assert "curl -L" in str(caught.value)
    assert "--features classifier:RUN" in str(caught.value)


def test_missing_weights_file_is_a_missing_model(tmp_path: Path, hub: Path):
    with pytest.raises(MissingModelError, match=r"nowhere\.pth"):
        load_extractor("inception", tmp_path / "nowhere.pth", CPU, SilentProgress())


def test_a_download_is_kept_and_not_repeated(server: Server, hub: Path):
    for _ in range(2):
        assert located(server.published) == hub / "net.pth"
        assert (hub / "net.pth").read_bytes() == CONTENT
    assert server.asked == 1


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_download_cut_half_way_is_tried_again(server: Server, hub: Path, cuts: int):
    server.cuts = cuts
    assert located(server.published).read_bytes() == CONTENT
    assert server.asked == cuts + 1
    assert list(hub.iterdir()) == [hub / "net.pth"]


def test_a_download_cut_every_time_is_never_left_half_in_place(server: Server, hub: Path):
    server.cuts = 99
    with pytest.raises(MissingModelError, match=r"IncompleteRead[\s\S]*curl -L .*net\.pth") as refused:
        located(server.published)
    assert refused.value.exit_code == 4
    assert server.asked == 3
    assert list(hub.iterdir()) == []


def test_an_altered_file_is_refused_naming_both_checksums_and_not_kept(server: Server, hub: Path):
    server.content = b"w" + CONTENT[1:-1] + b"!"
    with pytest.raises(DataError) as refused:
        located(server.published)
    assert server.published.sha256 in str(refused.value)
    assert hashlib.sha256(server.content).hexdigest() in str(refused.value)
    assert list(hub.iterdir()) == []


def test_a_server_that_does_not_answer_is_asked_once(server: Server, hub: Path, monkeypatch):
    asked = []
    monkeypatch.setattr("pooch.core.time.sleep", asked.append)
    gone = PublishedWeights("http://127.0.0.1:9/net.pth", server.published.sha256)
    with pytest.raises(MissingModelError):
        located(gone)
    assert asked == []


def test_a_full_disk_is_told_and_leaves_nothing(server: Server, hub: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: object, url: str, file: str, pool: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    with pytest.raises(StorageError, match=r"net\.pth.*No space left"):
        located(server.published)
    assert list(hub.iterdir()) == []


def test_given_weights_go_before_the_cache(server: Server, tmp_path: Path):
    (tmp_path / "mine.pth").write_bytes(b"mine")
    assert located(server.published, tmp_path / "mine.pth") == tmp_path / "mine.pth"
    assert server.asked == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_others_put_into_the_cache_are_checked(name: str, hub: Path):
    published = NETWORKS[name].published
    hub.mkdir(parents=True)
    (hub / published.file_name).write_bytes(b"half")
    found = hashlib.sha256(b"half").hexdigest()
    with pytest.raises(DataError, match=rf"sha256 is {found}, not {published.sha256}"):
        load_extractor(name, None, CPU, SilentProgress())


def test_every_published_file_is_pinned():
    for weights in (*(network.published for network in NETWORKS.values()), PUBLISHED_LPIPS):
        assert len(weights.sha256) == 64
