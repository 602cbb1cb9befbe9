"""Reading and finding weights: nothing a file holds is run, and absence is told with its remedy."""

from __future__ import annotations

import hashlib
import pickle
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegen.errors import DataError, MissingModelError
from facegen.models.feature_networks import load_extractor
from facegen.models.published_weights import PublishedWeights, locate_weights, read_weights
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


def published(source: Path, content: bytes) -> PublishedWeights:
    source.write_bytes(content)
    return PublishedWeights(source.as_uri(), "net.pth", hashlib.sha256(content).hexdigest()[:8])


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


@pytest.mark.parametrize("name", ["inception", "clip", "vgg16", "dinov2"])
def test_offline_the_error_comes_quickly_and_says_what_to_do(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    started = time.monotonic()
    with pytest.raises(MissingModelError) as caught:
        load_extractor(name, None, CPU, SilentProgress())
    assert time.monotonic() - started < 30  # refused at once; a busy machine may be slow all the same
    assert caught.value.exit_code == 4
    assert "curl -L" in str(caught.value) or "torch.hub.load" in str(caught.value)
    assert "--features classifier:RUN" in str(caught.value)


def test_missing_weights_file_is_a_missing_model(tmp_path: Path, hub: Path):
    with pytest.raises(MissingModelError, match=r"nowhere\.pth"):
        load_extractor("inception", tmp_path / "nowhere.pth", CPU, SilentProgress())


def test_a_download_is_kept_and_not_repeated(tmp_path: Path, hub: Path):
    source = published(tmp_path / "source.pth", b"weights")
    assert locate_weights("net", source, None, SilentProgress()).read_bytes() == b"weights"
    (tmp_path / "source.pth").unlink()
    assert locate_weights("net", source, None, SilentProgress()) == hub / "net.pth"


def test_a_download_with_the_wrong_checksum_is_not_kept(tmp_path: Path, hub: Path):
    source = published(tmp_path / "source.pth", b"weights")
    (tmp_path / "source.pth").write_bytes(b"something else")
    with pytest.raises(DataError, match="sha256"):
        locate_weights("net", source, None, SilentProgress())
    assert list(hub.iterdir()) == []


def test_given_weights_go_before_the_cache(tmp_path: Path, hub: Path):
    source = published(tmp_path / "source.pth", b"weights")
    (tmp_path / "mine.pth").write_bytes(b"mine")
    assert locate_weights("net", source, tmp_path / "mine.pth", SilentProgress()) == tmp_path / "mine.pth"
