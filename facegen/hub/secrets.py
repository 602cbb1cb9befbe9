"""What must not go to the hub: tokens, places on this machine, and who works here.

Every text is read, and what other files say in words: settings in PNG files, the head of safetensors files,
text columns and the schema of parquet files.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from facegen.errors import DataError, StorageError
from facegen.formats.files import WRONG_CONTENT
from facegen.formats.images import read_png_text
from facegen.hub.package import Content

MOST_TOLD = 10
HEAD_BYTES_OF_SAFETENSORS = 8
TOKENS = {
    "a token of the hub": r"\b(?:hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,})",
    "a key of Weights & Biases": r"\bwandb_v\d_\w{30,}|(?i:wandb|api[_-]?key)[\"'\s:=]{1,8}[0-9a-f]{40}\b",
    "a key of Amazon": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40,})",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a name and password in an address": r"://[^/\s:@\"']+:[^/\s:@\"']+@",
}
SECRET_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY", re.I)  # in the environment
SHORTEST_SECRET = 12
USUAL_ROOTS = (
    "home",
    "Users",
    "root",
    "mnt",
    "media",
    "data",
    "scratch",
    "tmp",
    "var",
    "opt",
    "Volumes",
    "nfs",
)
SYSTEM_ROOTS = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr"}
COMMON_NAMES = {"root", "user", "admin", "ubuntu", "debian", "localhost", "runner", "jovyan"}
SHORTEST_NAME = 3
_EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
_DEEP = re.compile(r"[\\]{2,}")


@dataclass(frozen=True)
class Finding:
    """Something in `file` that must not go out, at a `place` in it; `shown` is what people may see of it."""

    file: str
    place: str
    what: str
    shown: str

    def __str__(self) -> str:
        return f"'{self.file}', {self.place}: {self.what} ({self.shown})"


def check_clean(files: Mapping[str, Content], repository: str) -> None:
    """Read everything that would be sent to `repository`.

    Raises:
        DataError: names what must not be sent, with file and line, and how to mend it.
        StorageError: a file is unreadable.
    """
    sought = Sought(repository)
    found = [one for name, content in files.items() for one in findings(name, content, sought)]
    if not found:
        return
    more = f"\n  ... and {len(found) - MOST_TOLD:,} more" if len(found) > MOST_TOLD else ""
    told = "".join(f"\n  {one}" for one in found[:MOST_TOLD])
    raise DataError(
        f"Nothing was sent, as this would have been for everybody to read:{told}{more}", hint=_mend(found)
    )


class Sought:
    """The patterns, made of what this machine and its user are called."""

    def __init__(self, repository: str) -> None:
        self._patterns = {what: re.compile(pattern) for what, pattern in TOKENS.items()}
        roots = {*USUAL_ROOTS, *(one.name for one in os.scandir("/") if one.is_dir())} - SYSTEM_ROOTS
        places = "|".join(map(re.escape, sorted(roots)))
        unix = rf"(?:(?<![\w.@~/+-])|(?<=file://))/(?:{places})/[\w.@+~-]+[\w.@+~/-]*"
        self._patterns["a path of this machine"] = re.compile(rf"{unix}|\b[A-Za-z]:\\Users\\[^\s\"'\\]+")
        owner = repository.partition("/")[0]
        for what, name in (
            ("the name of its user", _user()),
            ("the name of this machine", socket.gethostname()),
        ):
            if len(name) >= SHORTEST_NAME and name.casefold() not in {owner.casefold(), *COMMON_NAMES}:
                self._patterns[what] = re.compile(_as_a_name(re.escape(name)))
        self._values = [
            value
            for name, value in os.environ.items()
            if SECRET_NAMES.search(name) and len(value) >= SHORTEST_SECRET and not value.startswith("/")
        ]

    def __call__(self, text: str) -> Iterator[tuple[str, str]]:
        """What is found in a text, and what may be shown of it."""
        text = _DEEP.sub(r"\\", text)
        for what, pattern in self._patterns.items():
            if match := pattern.search(text):
                is_token = what in TOKENS
                yield what, f"{match[0][:6]}…" if is_token else match[0]
        for value in self._values:
            if value in text:
                yield "a secret from the environment", f"{value[:3]}…"


def findings(name: str, content: Content, sought: Sought) -> Iterator[Finding]:
    """All that one file tells.

    Raises:
        StorageError: it is unreadable.
    """
    try:
        for place, text in _texts(name, content):
            for what, shown in sought(text):
                yield Finding(name, place, what, shown)
    except (OSError, *WRONG_CONTENT) as error:
        raise StorageError(f"'{name}' is unreadable: {error}.") from error


def _texts(name: str, content: Content) -> Iterable[tuple[str, str]]:
    """The words of a file, with where each of them stands."""
    kind = PurePosixPath(name).suffix
    if kind == ".parquet" and isinstance(content, Path):
        return _of_parquet(content)
    if kind == ".safetensors":
        return _of_safetensors(content)
    if kind == ".png" and isinstance(content, Path):
        return ((f"setting '{key}'", text) for key, text in read_png_text(content).items())
    text = content if isinstance(content, bytes) else content.read_bytes()
    lines = _EMBEDDED.sub("", text.decode("utf-8", errors="replace")).splitlines()
    return ((f"line {number}", line) for number, line in enumerate(lines, start=1))


def _of_safetensors(content: Content) -> Iterator[tuple[str, str]]:
    """Metadata and names of tensors, which the file begins with."""
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        length = int.from_bytes(file.read(HEAD_BYTES_OF_SAFETENSORS), "little")
        head: dict[str, Any] = json.loads(file.read(length))
    for key, value in head.pop("__metadata__", {}).items():
        yield f"metadata '{key}'", str(value)
    for key in head:
        yield "the name of a tensor", key


def _of_parquet(path: Path) -> Iterator[tuple[str, str]]:
    """The schema's metadata and every cell of words."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        for key, value in (schema.metadata or {}).items():
            yield f"metadata '{key.decode()}'", value.decode("utf-8", errors="replace")
        kinds = {one.name: getattr(one.type, "value_type", one.type) for one in schema}
        wanted = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
        row = 0
        for batch in file.iter_batches(columns=wanted):
            for column in wanted:
                for number, cell in enumerate(batch.column(column).to_pylist(), start=row):
                    for text in cell if isinstance(cell, list) else [cell]:
                        if text:
                            yield f"column '{column}', row {number:,}", text
            row += batch.num_rows


def _as_a_name(name: str) -> str:
    """Where a word can hardly be anything else: a part of a path, before an @, or a whole value."""
    return rf"[/\\]{name}(?=[/\\])|\b{name}@|@{name}\b|[\"']{name}[\"']|:\s+{name}\s*$"


def _user() -> str:
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return ""


def _mend(found: list[Finding]) -> str:
    steps = []
    if any(one.what in TOKENS or one.what.startswith("a secret") for one in found):
        steps.append("Take tokens out, and withdraw them where they are from: others may have read them.")
    kinds = {PurePosixPath(one.file).suffix for one in found}
    if kinds - {".safetensors", ".parquet"}:
        steps.append(
            "Of paths and names, take out what you wrote (README.md, 'about' in recipe.yaml); what a command "
            "wrote it writes anew: facegen eval ..., from the folder above the data."
        )
    if ".safetensors" in kinds:
        steps.append(
            "Of weights, save the file without it where it came from, and train or encode with that: "
            "safetensors.torch.save_file(load_file(FILE), FILE, metadata={'format': 'pt'})"
        )
    if ".parquet" in kinds:
        steps.append("Of data, prepare them again without it: facegen prepare ... --out NEW")
    return "\n".join(steps)
