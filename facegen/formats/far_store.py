"""A folder on a far store (`s3://`, `gs://`, `hf://`) as fsspec reads it: listed, read, written, tried again.

Credentials and endpoints are whatever the protocol's package finds: environment, `~/.aws`, `FSSPEC_*`. They
are never kept, and never told: an address is shown without a name and password in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from facegen.errors import MissingModelError, StorageError, UsageError

INSTALL = {"s3": "pip install 'facegen[far]'", "gs": "pip install 'facegen[far]'"}
ACCESS = {
    "s3": "Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE) or ~/.aws, the server from "
    "AWS_ENDPOINT_URL. Try: aws s3 ls",
    "gs": "Log in: gcloud auth application-default login; or name a key in GOOGLE_APPLICATION_CREDENTIALS.",
    "hf": "Log in: hf auth login; or set HF_TOKEN. HF_HUB_OFFLINE must not be set.",
    "memory": "",
}
BUCKETS = ("s3", "gs")  # protocols whose first folder somebody has to have made
OPTIONS: dict[str, dict[str, Any]] = {  # what is tried again is tried again here
    "s3": {"config_kwargs": {"connect_timeout": 10, "retries": {"total_max_attempts": 1}}}
}
CHUNK_BYTES = 16 << 20
RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
_FAR = re.compile(rf"({'|'.join(ACCESS)}):/+(?=[^/])")
_LOGIN = re.compile(r"(?<=//)[^/@:\s]*:[^@\s]*@")
_CLIENTS = {"aiohttp", "botocore", "gcsfs", "google", "httpx", "httpx2", "huggingface_hub", "requests"}
_NO_LOGIN = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"}

Result = TypeVar("Result")


@dataclass(frozen=True)
class FarFile:
    """A file's size, and what the store knows its version by (an ETag or checksum), if anything."""

    size_bytes: int
    version: str = ""


def is_far(path: Path | str) -> bool:
    """Whether `path` lies on a far store; a `Path` has made `s3:/` of `s3://`."""
    return _FAR.match(str(path)) is not None


def spelled(path: Path | str) -> str:
    """A far address as people write it, without a name and password in it."""
    return _LOGIN.sub("", _address(path))


def _address(path: Path | str) -> str:
    return _FAR.sub(r"\1://", str(path)).rstrip("/")


class FarStore:
    """The far folder `url`. Whatever is asked of it may raise:

    UsageError: a name and password in the address.
    MissingModelError: the package is not installed; nothing there; no access; cannot be reached.
    StorageError: the connection was cut each time.
    """

    def __init__(self, url: Path | str) -> None:
        self.url = spelled(url)
        if self.url != _address(url):
            raise UsageError(
                f"The address of '{self.url}' has a name and password in it, which runs would keep.",
                hint=ACCESS[self.url.partition(":")[0]],
            )
        self._protocol = self.url.partition(":")[0]
        self._system, self._root = self._opened(_address(url))

    def files(self) -> dict[str, FarFile]:
        """Every file by its name from here, hidden ones left out, in order.

        Raises:
            MissingModelError: there is none.
        """
        found: dict[str, Any] = self._tried("listed", lambda: self._system.find(self._root, detail=True))
        files = {
            name: FarFile(int(about["size"] or 0), _version(about))
            for path, about in sorted(found.items())
            if is_plain_name(name := path.lstrip("/").removeprefix(self._root.lstrip("/")).lstrip("/"))
        }
        if not files:
            raise self._nothing()
        return files

    def check_bucket(self) -> None:
        """See that the bucket is there, if there are buckets.

        Raises:
            MissingModelError: it is not.
        """
        if self._protocol in BUCKETS:
            bucket = self._root.partition("/")[0]
            self._tried("opened", lambda: self._system.ls(bucket))

    def has(self, name: str) -> bool:
        """Whether the file is there."""

        def look() -> bool:  # the stores' own `exists` takes any failure for a no
            try:
                self._system.info(self._at(name))
            except FileNotFoundError:
                return False
            return True

        return self._tried(f"asked for '{name}'", look)

    def read(self, name: str) -> bytes:
        """The content of a small file."""
        return self._tried(f"read at '{name}'", lambda: self._system.cat_file(self._at(name)))

    def chunks(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end` in pieces; what was cut off is read again from there."""

        def piece(first: int, last: int) -> bytes:
            content: bytes = self._system.cat_file(self._at(name), start=first, end=last)
            if len(content) != last - first:
                raise _CutOff(f"{len(content)} of {last - first} bytes came")
            return content

        for first in range(start, end, CHUNK_BYTES):
            last = min(first + CHUNK_BYTES, end)
            yield self._tried(f"read at '{name}'", lambda first=first, last=last: piece(first, last))

    def write(self, file: Path, name: str) -> None:
        """Put the local `file` there under `name`."""
        self._tried(f"written at '{name}'", lambda: self._system.put_file(str(file), self._at(name)))

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""

        if self.has(name):
            self._tried(f"cleared of '{name}'", lambda: self._system.rm_file(self._at(name)))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _opened(self, address: str) -> tuple[Any, str]:
        opener: Any = getattr(import_module("fsspec.core"), "url_to_fs")  # noqa: B009 - has no types
        try:
            options = {"skip_instance_cache": True, **OPTIONS.get(self._protocol, {})}
            opened: tuple[Any, str] = self._tried("opened", lambda: opener(address, **options))
        except ImportError as error:
            raise MissingModelError(
                f"'{self.url}' needs a package that is not installed: {error}.",
                hint=f"Install it: {INSTALL.get(self._protocol, 'pip install fsspec')}",
            ) from error
        return opened[0], opened[1].rstrip("/")

    def _tried(self, what: str, action: Callable[[], Result]) -> Result:
        """The action's result; what may pass is tried again after a pause."""
        pauses = iter(RETRY_PAUSES_SECONDS)
        while True:
            try:
                return action()
            except Exception as error:
                if not _is_of_store(error):
                    raise
                if (refusal := self._refusal(error)) is not None:
                    raise refusal from error
                pause = next(pauses, None)
                if pause is None:
                    raise self._given_up(what, error) from error
            time.sleep(pause)

    def _refusal(self, error: Exception) -> MissingModelError | None:
        """What trying again would not mend."""
        names = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            return self._nothing()
        if isinstance(error, PermissionError) or names & _NO_LOGIN:
            why = (
                "access is denied (403)" if isinstance(error, PermissionError) else "there are no credentials"
            )
            return MissingModelError(f"'{self.url}' cannot be opened: {why}.", hint=ACCESS[self._protocol])
        if "OfflineModeIsEnabled" in names:
            return MissingModelError(
                f"'{self.url}' cannot be opened: HF_HUB_OFFLINE is set.", hint="unset HF_HUB_OFFLINE"
            )
        return None

    def _nothing(self) -> MissingModelError:
        return MissingModelError(
            f"There is nothing at '{self.url}': no such bucket, or no such folder in it.",
            hint="Check the address: PROTOCOL://BUCKET/FOLDER, in upper and lower case as it is there.",
        )

    def _given_up(self, what: str, error: Exception) -> MissingModelError | StorageError:
        reason = _LOGIN.sub("", (str(error).splitlines() or [""])[0]) or type(error).__name__
        tries = len(RETRY_PAUSES_SECONDS) + 1
        message = f"'{self.url}' could not be {what}, tried {tries} times: {reason}."
        if isinstance(error, _CutOff):
            return StorageError(message, hint="Repeat the command: it goes on with what has come.")
        return MissingModelError(message, hint=f"Is there a network? {ACCESS[self._protocol]}".strip())


class _CutOff(OSError):
    """Fewer bytes came than there are."""


def _is_of_store(error: Exception) -> bool:
    """Whether the store or the way to it is to blame, and not the program."""
    if isinstance(error, ImportError):
        return False
    return isinstance(error, OSError | EOFError) or any(
        kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__
    )


def _version(about: Mapping[str, Any]) -> str:
    known = (about.get(key) for key in ("ETag", "etag", "md5Hash", "blob_id"))
    return str(next(filter(None, known), ""))


def is_plain_name(name: str) -> bool:
    """Whether a name may become one in a local folder: nothing hidden, nothing that leads out of it."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not any(part.startswith((".", "/")) or "\\" in part for part in parts)
