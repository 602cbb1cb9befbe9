"""Far data through the bounded, verified cache; the store is fsspec's memory file system."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from support.far_store import put, suffering
from support.tiny_dataset import write_dataset
from support.training_parts import write_latents

from facegen.errors import MissingModelError, StorageError, UsageError
from facegen.formats import far, far_cache, far_store
from facegen.formats.dataset import Dataset
from facegen.formats.far import fetched, named, near, shared_path, told
from facegen.formats.latents import LatentStore

URL = "memory://bucket/latents/tiny"
SHARD = "latents-train-00000.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(far_store, "RETRY_PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    yield tmp_path / "cache" / "far"
    end_process()


def end_process() -> None:
    """What the end of the process does to its marks."""
    far._open.clear()
    for mark in far_cache._held.values():
        mark.release()
    far_cache._held.clear()


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    folder = write_latents(tmp_path / "tiny")
    put(folder, URL)
    return folder


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_far_latents_are_those_on_disk(latents: Path) -> None:
    here, there = LatentStore.open(latents).split("train"), LatentStore.open(URL).split("train")
    rows = torch.arange(len(here))
    assert torch.equal(here.gather(rows).mean, there.gather(rows).mean)
    assert here.frame.equals(there.frame)


def test_a_far_data_set_is_the_one_on_disk(tmp_path: Path) -> None:
    here = write_dataset(tmp_path / "faces")
    there = Dataset.open(put(here.folder, "memory://bucket/faces"))
    there.verify()
    name = here.splits[0]
    assert torch.equal(here.split(name).images([0, 1]), there.split(name).images([0, 1]))


def test_a_path_that_lost_a_slash_is_the_same_address(latents: Path) -> None:
    assert near(Path(URL)) == near(URL)
    assert near(latents) == latents


def test_what_has_come_is_not_fetched_again(latents: Path) -> None:
    fetched(near(URL))
    end_process()
    with suffering("cat_file", lambda path, count: None) as asked:
        fetched(near(URL))
    assert not [path for path in asked if path.endswith((".safetensors", ".parquet"))]


def test_changed_data_are_noticed_at_the_next_open(latents: Path, tmp_path: Path) -> None:
    before = LatentStore.open(URL).index.fingerprint
    put(write_latents(tmp_path / "other", seed=1), URL)
    after = LatentStore.open(URL)
    assert after.index.fingerprint == LatentStore.open(tmp_path / "other").index.fingerprint != before


def test_a_cut_connection_is_tried_again(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_store, "CHUNK_BYTES", 4000)

    def cut(path: str, count: int) -> Any:
        if not path.endswith(SHARD) or count not in (2, 5):
            return None
        if count == 2:
            raise ConnectionResetError("cut")
        return lambda content: content[: len(content) // 2]

    with suffering("cat_file", cut) as asked:
        fetched(near(URL) / SHARD)
    assert (near(URL) / SHARD).read_bytes() == (latents / SHARD).read_bytes()
    pieces = -(-(latents / SHARD).stat().st_size // 4000)
    assert len([path for path in asked if path.endswith(SHARD)]) == pieces + 2


def test_a_connection_that_is_always_cut_is_told(latents: Path) -> None:
    with (
        suffering("cat_file", lambda path, count: (lambda b: b[:-1]) if path.endswith(SHARD) else None),
        pytest.raises(StorageError, match="tried 3 times"),
    ):
        fetched(near(URL) / SHARD)


@pytest.mark.parametrize("times", [1, 2])
def test_an_altered_shard_is_fetched_once_more_and_then_refused(latents: Path, times: int) -> None:
    def alter(path: str, count: int) -> Any:
        return (lambda content: b"\0" + content[1:]) if path.endswith(SHARD) and count <= times else None

    with suffering("cat_file", alter):
        root = near(URL)
        if times == 1:
            assert fetched(root / SHARD).read_bytes() == (latents / SHARD).read_bytes()
        else:
            with pytest.raises(StorageError, match=SHARD):
                fetched(root / SHARD)
            assert not (root / SHARD).exists()


def test_an_altered_part_of_a_data_set_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces").folder
    shard = next((folder / "data").glob("train-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StorageError, match=shard.name):
        Dataset.open(put(folder, "memory://bucket/faces")).split("train")


def test_denied_access_is_told_with_what_mends_it(latents: Path) -> None:
    def deny(path: str, count: int) -> None:
        raise PermissionError("Forbidden")

    with suffering("find", deny), pytest.raises(MissingModelError, match="403"):
        near(URL)


def test_nothing_there_is_told() -> None:
    with pytest.raises(MissingModelError, match="nothing at 'memory://nowhere/at/all'"):
        near("memory://nowhere/at/all")


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingModelError, match=r"pip install 'facegen\[far\]'"):
        near("gs://bucket/latents")


def test_a_password_in_an_address_is_never_told() -> None:
    with pytest.raises(UsageError, match="name and password") as caught:
        near("memory://me:secret/word@bucket/latents")
    assert "secret" not in str(caught.value)


def test_names_that_lead_out_of_the_folder_are_left_alone(latents: Path, cache: Path) -> None:
    system = MemoryFileSystem()
    system.store[f"{URL.removeprefix('memory:/')}/../../evil.json"] = system.store[
        f"{URL.removeprefix('memory:/')}/index.json"
    ]
    fetched(near(URL))
    assert not list(cache.parent.parent.rglob("evil.json"))


def test_the_cache_stays_within_its_bound(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write_latents(tmp_path / f"tiny{seed}", seed=seed) for seed in range(4)]
    bound = 2.5 * size_of(folders[0])
    monkeypatch.setenv("FACEGEN_CACHE_GB", str(bound / 1e9))
    roots = []
    for number, folder in enumerate(folders):
        roots.append(near(put(folder, f"memory://bucket/{number}")))
        fetched(roots[-1])
        os.utime(far_cache.uses_of(roots[-1].parent) / "planned", (number, number))
        end_process()
        assert sum(size_of(root) for root in cache.glob("*") if root.suffix != ".use") <= bound
    assert [root.is_dir() for root in roots] == [False, False, True, True]


def test_what_is_in_use_is_not_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_latents(tmp_path / f"tiny{seed}", seed=seed) for seed in range(2)]
    monkeypatch.setenv("FACEGEN_CACHE_GB", str(1.5 * size_of(folders[0]) / 1e9))
    used = fetched(near(put(folders[0], "memory://bucket/0")))
    with pytest.raises(StorageError, match="full of far data that running commands use"):
        near(put(folders[1], "memory://bucket/1"))
    assert (used / SHARD).is_file()


def test_data_larger_than_the_cache_may_grow_are_refused_before_they_are_fetched(
    latents: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGEN_CACHE_GB", "1e-6")
    with pytest.raises(UsageError, match="FACEGEN_CACHE_GB="):
        near(URL)
    assert not list(cache.rglob("*.safetensors"))


def _killed_while_fetching(folder: Path) -> None:
    put(folder, URL)
    far_store.CHUNK_BYTES = 4000

    def die(path: str, count: int) -> None:
        if path.endswith(SHARD) and count == 2:
            os._exit(9)

    with suffering("cat_file", die):
        fetched(near(URL) / SHARD)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_fetch_leaves_nothing_that_looks_whole_and_is_gone_on_with(
    latents: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed_while_fetching, args=(latents,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert not list(cache.rglob(SHARD))
    assert [path.stat().st_size for path in cache.rglob(f".{SHARD}.part")] == [4000]
    starts = []
    real = MemoryFileSystem.cat_file

    def noted(self: Any, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        if path.endswith(SHARD):
            starts.append(start)
        return real(self, path, start=start, end=end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", noted)
    assert fetched(near(URL) / SHARD).read_bytes() == (latents / SHARD).read_bytes()
    assert starts == [4000]


def _read_shard(_: int) -> bytes:
    return fetched(near(URL) / SHARD).read_bytes()


def test_a_shard_that_two_want_is_fetched_once(latents: Path) -> None:
    with (
        suffering("cat_file", lambda path, count: None) as asked,
        ThreadPoolExecutor(2) as pool,
    ):
        contents = set(pool.map(_read_shard, range(2)))
    assert contents == {(latents / SHARD).read_bytes()}
    assert len([path for path in asked if path.endswith(SHARD)]) == 1


def test_who_waits_fetches_what_no_thread_has_begun(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far, "NUM_THREADS", 1)
    begun, release = threading.Event(), threading.Event()

    def hold(path: str, count: int) -> None:
        if threading.current_thread().name == "fetch-0":
            begun.set()
            release.wait(10)

    with suffering("cat_file", hold):
        root = near(URL)
        assert begun.wait(10)
        assert fetched(root / SHARD).read_bytes() == (latents / SHARD).read_bytes()
        release.set()
        fetched(root)
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch-0" and thread.join(10)]


def test_a_store_that_comes_back_is_asked_again(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    gone.set()

    def fail(path: str, count: int) -> None:
        if gone.is_set() and path.endswith((".safetensors", ".parquet")):
            raise ConnectionResetError("gone")

    with suffering("cat_file", fail):
        root = near(URL)
        with pytest.raises(MissingModelError, match="tried 3 times"):
            fetched(root / SHARD)
        gone.clear()
        assert fetched(root).is_dir()
    assert (root / SHARD).read_bytes() == (latents / SHARD).read_bytes()


def test_files_that_stayed_the_same_are_taken_from_the_version_before(latents: Path) -> None:
    before = fetched(near(URL))
    MemoryFileSystem().pipe_file(f"{URL.removeprefix('memory:/')}/note.txt", b"new")
    with suffering("cat_file", lambda path, count: None) as asked:
        after = fetched(near(URL))
    assert after != before
    assert (after / SHARD).read_bytes() == (latents / SHARD).read_bytes()
    assert not [path for path in asked if path.endswith(".safetensors")]


def test_an_index_that_names_what_is_not_there_is_refused_at_once(latents: Path) -> None:
    MemoryFileSystem().rm_file(f"{URL.removeprefix('memory:/')}/{SHARD}")
    with pytest.raises(StorageError, match=f"{SHARD}' is missing"):
        near(URL)


def test_a_copy_that_the_disk_spoiled_is_fetched_anew(latents: Path) -> None:
    shard = fetched(near(URL)) / SHARD
    shard.write_bytes(b"spoiled")
    LatentStore.open(URL, verify=True).split("train").gather(torch.arange(2))
    assert shard.read_bytes() == (latents / SHARD).read_bytes()


def test_messages_tell_the_address(latents: Path) -> None:
    root = near(URL)
    assert told(f"'{root / SHARD}' is odd") == f"'{URL}/{SHARD}' is odd"


def test_copies_are_called_by_their_address(latents: Path) -> None:
    assert named(near(URL)) == shared_path(near(URL)) == URL
    assert named(near(URL) / SHARD) == f"{URL}/{SHARD}"
    assert named(latents) == str(latents)


def test_an_index_that_cannot_be_read_is_refused_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "index.json").write_text(json.dumps(["not", "an", "index"]))
    with pytest.raises(Exception, match="format version"):
        LatentStore.open(put(tmp_path / "bad", "memory://bucket/bad"))
