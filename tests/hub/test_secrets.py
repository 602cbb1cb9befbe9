"""Tokens, places on this machine and names of its user are found in every kind of file."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from facegen.errors import DataError, StorageError
from facegen.formats.images import encode_png
from facegen.hub.package import without_places
from facegen.hub.secrets import Sought, check_clean

REPO = "me/faces"
_WORDS = re.compile("geheim|correct-horse|Ab1Ab1Ab1|0123456789")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "somebody")
    monkeypatch.setattr(socket, "gethostname", lambda: "theirbox")
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "correct-horse-battery")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("token: hf_" + "Ab1" * 12, "a token of the hub"),
        ('{"api_key": "' + "0123456789" * 4 + '"}', "a key of Weights & Biases"),
        ("AKIA" + "ABCDEFGH" * 2, "a key of Amazon"),
        ("ghp_" + "a1b2c3" * 6, "a token of GitHub"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("https://anna:geheim@example.org/x", "a name and password in an address"),
        ("he said correct-horse-battery twice", "a secret from the environment"),
        ('"path": "/home/anna/faces"', "a path of this machine"),
        ("classifier:/scratch/anna/judge", "a path of this machine"),
        ("see file:///mnt/disk/faces", "a path of this machine"),
        (r"C:\\Users\\anna\\faces", "a path of this machine"),
        ("made on /nowhere/somebody/faces", "the name of its user"),
        ("somebody@example.org", "the name of its user"),
        ('"host": "theirbox"', "the name of this machine"),
        ("host: theirbox", "the name of this machine"),
    ],
)
def test_it_is_found_and_not_shown_in_full(text: str, what: str) -> None:
    with pytest.raises(DataError) as told:
        check_clean({"notes.md": f"# Notes\n{text}\n".encode()}, REPO)
    assert f"'notes.md', line 2: {what} (" in str(told.value)
    assert not {"geheim", "correct-horse", "Ab1Ab1Ab1", "0123456789"} & set(_WORDS.findall(str(told.value)))


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/data/faces and and/or 3/4 of s3://bucket/home/faces",
        "sha256: " + "0123456789abcdef" * 4,
        "commit " + "0123456789" * 4,
        "somebody smiles, theirbox too",
        "runs/celeba/checkpoints",
        '<img src="data:image/png;base64,iVBORw0K/home/abcd+/tmp/xyz=">',
        "</td></tr>",
    ],
)
def test_what_only_looks_like_it_goes(text: str) -> None:
    check_clean({"notes.md": text.encode()}, REPO)


def test_an_owners_name_is_no_secret_in_their_own_repository() -> None:
    text = {"notes.md": b"somebody@example.org"}
    check_clean(text, "Somebody/faces")
    with pytest.raises(DataError):
        check_clean(text, REPO)


def test_other_files_are_read_where_they_speak(tmp_path: Path) -> None:
    place = "/home/anna/secret"
    save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={"trained_on": place})
    table = pa.table({"id": ["a", "b"], "captions": [["x"], ["y", place]], "age": [1, 2]})
    pq.write_table(table, tmp_path / "b.parquet")
    pq.write_table(table.slice(0, 1).replace_schema_metadata({"by": place}), tmp_path / "c.parquet")
    settings = {"facegen": json.dumps({"run": place})}
    (tmp_path / "d.png").write_bytes(encode_png(torch.zeros(3, 4, 4, dtype=torch.uint8), settings))
    with pytest.raises(DataError) as told:
        check_clean({one.name: one for one in sorted(tmp_path.iterdir())}, REPO)
    for where in (
        "'a.safetensors', metadata 'trained_on'",
        "'b.parquet', column 'captions', row 1",
        "'c.parquet', metadata 'by'",
        "'d.png', setting 'facegen'",
        "metadata={'format': 'pt'}",
        "facegen prepare ... --out NEW",
    ):
        assert where in str(told.value)


def test_many_findings_are_counted() -> None:
    with pytest.raises(DataError, match="and 15 more"):
        check_clean({"a.json": b"/home/anna/x\n" * 25}, REPO)


def test_weights_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0nonsense")
    with pytest.raises(StorageError, match=r"'w\.safetensors' is unreadable"):
        check_clean({"w.safetensors": tmp_path / "w.safetensors"}, REPO)


def test_paths_in_data_become_names_and_words_stay() -> None:
    told = {
        "run": "/home/anna/runs/a",
        "features": "classifier:/x/judge",
        "n": 3,
        "of": ["/a/b", "and/or", "/ or"],
    }
    assert without_places(told) == {
        "run": "a",
        "features": "classifier:judge",
        "n": 3,
        "of": ["b", "and/or", "/ or"],
    }


def test_this_machines_own_top_folders_are_places(tmp_path: Path) -> None:
    assert list(Sought(REPO)(f"in {tmp_path}"))
