"""onnxruntime-web comes once, checked, and what cannot come says where to put it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from facegen.errors import DataError, MissingModelError
from facegen.export import runtime
from facegen.progress import SilentProgress

CONTENT = {name: name.encode() * 3 for name in runtime.FILES}


def archive() -> bytes:
    """What npm's registry has, but for the files' size."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {**CONTENT, "ort.all.js": b"large"}.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a registry that does not answer."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime, "URL", f"http://127.0.0.1:9/{runtime.NAME}.tgz")
    return tmp_path / "cache"


def test_without_a_network_it_says_what_to_put_where(cache: Path) -> None:
    with pytest.raises(MissingModelError) as refused:
        runtime.onnxruntime_web(SilentProgress())
    by_hand = f"curl -L --create-dirs -o {cache / runtime.NAME}.tgz http://127.0.0.1:9/{runtime.NAME}.tgz"
    assert by_hand in str(refused.value)
    assert refused.value.exit_code == 4


def test_an_archive_put_there_by_hand_is_checked_and_unpacked(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = cache / f"{runtime.NAME}.tgz"
    put.parent.mkdir()
    put.write_bytes(b"half")
    with pytest.raises(DataError, match="is not the published file") as refused:
        runtime.onnxruntime_web(SilentProgress())
    assert f"-o {put} " in str(refused.value)
    put.write_bytes(archive())
    monkeypatch.setattr(runtime, "SHA256", hashlib.sha256(archive()).hexdigest())
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(runtime, "FILES", sums)
    assert runtime.onnxruntime_web(SilentProgress()) == CONTENT
    assert [entry.name for entry in cache.iterdir()] == [runtime.NAME]
    assert runtime.onnxruntime_web(SilentProgress()) == CONTENT
    (cache / runtime.NAME / runtime.KERNELS).write_bytes(b"other")
    with pytest.raises(DataError, match="Remove the folder"):
        runtime.onnxruntime_web(SilentProgress())
