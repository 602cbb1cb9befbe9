"""Data sets, latents and runs on far stores: `near` makes a local folder of an address.

    path = near("s3://bucket/latents/celeba")      # index and tables are there, shards are on their way
    fetched(path / "latents-train-00000.safetensors")      # waits for one of them

Small text files are read anew each time; what they say decides which folder of the cache stands for the
address, so data that changed are never mixed with older ones. Large files are fetched ahead, in the order of
use, by a few threads; those of runs and checkpoints when they are asked for. Each is compared with the sha256
that index, manifest or checkpoint gives, under a temporary name; under its own it is whole. Readers call
`fetched` first.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from glob import escape as glob_escape
from pathlib import Path, PurePosixPath
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from facegen.errors import MissingModelError, StorageError
from facegen.formats.box import is_box, named_in_box, opened_box, told_of_box
from facegen.formats.far_cache import bound_bytes, cache_folder, reserve, uses_of
from facegen.formats.far_store import FarFile, FarStore, is_far
from facegen.formats.files import atomic_write, sha256_of, storage_errors

if TYPE_CHECKING:
    from facegen.protocols import Progress


NUM_THREADS = 4
SMALL_BYTES = 4 << 20
TEXT = {".json", ".jsonl", ".yaml", ".md", ".csv", ".txt"}
INDEX, MANIFEST, CHECKPOINT, RECIPE = "index.json", "dataset.json", "checkpoint.json", "recipe.yaml"
_SPLITS = ("train", "validation", "test")

_open: dict[Path, FarFolder] = {}
_opening = Lock()


def near(path: Path | str, progress: Progress | None = None) -> Path:
    """The local folder that stands for a far one, or for the model in the box; a local path as it is.

    Raises:
        MissingModelError: nothing there, no access, no network, or a package is not installed.
        UsageError: the data are larger than the cache may grow.
        StorageError: a file was altered or cut off, or the cache is full or cannot be written to.
    """
    if is_box(path):
        return opened_box()
    if not is_far(path):
        return Path(path)
    store = FarStore(path)
    files = store.files()
    small = [name for name, file in files.items() if _is_small_text(name, file)]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        texts = dict(zip(small, pool.map(store.read, small), strict=True))
    sums = _checksums(texts)
    for name in sums.keys() - files.keys():
        if not name.startswith("checkpoints/"):  # of which one may just be being removed
            raise StorageError(f"'{store.url}/{name}' is missing.", hint="Copy the whole folder there again.")
    version = repr([(name, sha256_of(text)) for name, text in texts.items()])
    version += repr([(name, file) for name, file in files.items() if name not in sums and name not in texts])
    stamps = (sha256_of(text.encode())[:8] for text in (store.url, version))
    root = cache_folder() / "-".join(stamps) / PurePosixPath(store.url).name
    with _opening:
        if root not in _open:
            folder = FarFolder(store, root, files, sums)
            folder.begin(texts, progress)
            _open[root] = folder
    return root


def fetched(path: Path) -> Path:
    """`path`, once every far file whose path begins with it is there; local paths at once.

    Raises:
        MissingModelError, StorageError: as `near`, of one file.
    """
    folder = _far_folder_of(path)
    if folder is not None:
        folder.wait("" if path == folder.root else path.relative_to(folder.root).as_posix())
    return path


def is_copy(path: Path) -> bool:
    """Whether `path` stands for something far, whose files are checked as they come."""
    return _far_folder_of(path) is not None


def recheck(folder: Path) -> None:
    """Compare the files of a copy that have come with their sha256 again; altered ones are fetched anew."""
    far = _far_folder_of(folder)
    if far is not None:
        far.recheck()


def named(path: Path) -> str:
    """A path as it was given: the far address, or the box, that a copy stands for."""
    far = _far_folder_of(path)
    if far is None:
        return named_in_box(path) or str(path)
    return "/".join([far.store.url, *path.relative_to(far.root).parts])


def told(message: str) -> str:
    """A message in which copies are called by the address that they stand for."""
    for root, folder in _open.items():
        message = message.replace(str(root), folder.store.url)
    return told_of_box(message)


def shared_path(path: Path) -> str:
    """A path as files that people share may tell it: far, inside the current folder, or its name alone."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()  # links stay: the name as it was typed
    if is_copy(absolute):
        return named(absolute)
    return absolute.relative_to(here).as_posix() if here in absolute.parents else absolute.name


def written_beside(folder: Path) -> Path:
    """Where what is made of `folder` is written: in it (of the box, in its copy); of a far one, in a folder
    of its name here."""
    far = _far_folder_of(folder)
    if far is None:
        return opened_box() if is_box(folder) else folder
    return Path(PurePosixPath(far.store.url).name)


def _far_folder_of(path: Path) -> FarFolder | None:
    return next((far for root, far in _open.items() if path == root or root in path.parents), None)


class FarFolder:
    """A far folder's copy `root`: which files there are, which have come, which are on their way."""

    def __init__(
        self, store: FarStore, root: Path, files: Mapping[str, FarFile], sums: Mapping[str, str]
    ) -> None:
        self.store, self.root = store, root
        self._files, self._sums = files, sums
        self._coming: dict[str, Future[None]] = {}
        self._reserved: set[str] = set()

    def begin(self, texts: Mapping[str, bytes], progress: Progress | None) -> None:
        """Write the small files and fetch the others ahead, unless they are a run's."""
        large = [name for name in self._files if name not in texts]
        lazily = any(name in (CHECKPOINT, RECIPE) or name.startswith("checkpoints/") for name in self._files)
        indexed = INDEX in texts or MANIFEST in texts
        self._reserve([*texts] if lazily else [*self._files])
        for name, text in texts.items():
            if not (self.root / name).is_file():
                atomic_write(self.root / name, text)
        missing = sorted((name for name in large if not self._is_there(name)), key=_order_of_use)
        if lazily or not missing:
            return
        if progress is not None:
            size = sum(self._files[name].size_bytes for name in missing) / 1e9
            progress.say(
                f"Fetching {size:.2g} GB of '{self.store.url}' to '{self.root}' "
                f"(FACEGEN_CACHE_GB={bound_bytes() / 1e9:g})."
            )
        self._coming = _in_threads(self._fetch, missing)
        if not indexed:  # others' readers do not know that files may be on their way
            self.wait("")

    def wait(self, beginning: str) -> None:
        """Return when every file whose name begins so is there."""
        wanted = [name for name in self._files if name.startswith(beginning) and not self._is_there(name)]
        self._reserve(wanted)
        for name in wanted:
            coming = self._coming.get(name)
            if coming is not None and not coming.cancel():
                with suppress(MissingModelError):
                    coming.result()
            if not self._is_there(name):  # no thread had begun it, or the store may be back
                self._fetch(name)

    def recheck(self) -> None:
        """Remove what is no longer as it came."""
        for name, digest in self._sums.items():
            if self._is_there(name) and sha256_of(self.root / name) != digest:
                (self.root / name).unlink()

    def _reserve(self, names: Iterable[str]) -> None:
        if {*names} - self._reserved:
            wanted = {*names} | self._reserved
            reserve(self.root.parent, sum(self._files[name].size_bytes for name in wanted), self.store.url)
            self._reserved = wanted

    def _is_there(self, name: str) -> bool:
        return (self.root / name).is_file()

    def _fetch(self, name: str) -> None:
        """Bring one file under its name, whole and checked; one process does, others wait for it."""
        target = self.root / name
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(uses_of(self.root.parent) / f"{name.replace('/', '-')}.fetch"):
                if not self._is_there(name):
                    self._download(name, target)

    def _download(self, name: str, target: Path) -> None:
        """Fetch under a temporary name, going on where a killed process stood; an altered file twice."""
        part = target.with_name(f".{target.name}.part")
        size, expected = self._files[name].size_bytes, self._sums.get(name)
        if expected is not None and self._linked(name, target, size, expected):
            return
        for _ in range(2):
            resumes = expected is not None and part.is_file() and part.stat().st_size <= size
            with part.open("ab" if resumes else "wb") as file:
                for chunk in self.store.chunks(name, file.tell(), size):
                    file.write(chunk)
                    file.flush()  # so that a killed process leaves it to go on from
            if expected is None or sha256_of(part) == expected:
                part.replace(target)
                return
            part.unlink()
        raise StorageError(
            f"'{self.store.url}/{name}' was altered: twice its sha256 is not the recorded one.",
            hint="Upload it again from where it was made, together with the index or manifest beside it.",
        )

    def _linked(self, name: str, target: Path, size: int, expected: str) -> bool:
        """Take the file from another version of the same folder, if that has it."""
        versions = f"{self.root.parent.name.partition('-')[0]}-*"
        for other in cache_folder().glob(f"{versions}/{glob_escape(self.root.name)}/{glob_escape(name)}"):
            with suppress(OSError):  # evicted meanwhile, or on a disk without links
                if other.stat().st_size == size and sha256_of(other) == expected:
                    target.hardlink_to(other)
                    return True
        return False


def _is_small_text(name: str, file: FarFile) -> bool:
    is_text = PurePosixPath(name).suffix in TEXT
    return name == "metrics.jsonl" or (is_text and file.size_bytes <= SMALL_BYTES)


def _order_of_use(name: str) -> tuple[int, str]:
    """Tables before shards, and the splits as they are read."""
    for place, split in enumerate(_SPLITS):
        if f"-{split}-" in name or name.startswith(f"data/{split}-"):
            return place + 1, name
    return 0, name


def _checksums(texts: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 of files by name, as indexes, manifests and checkpoints among the `texts` give them.

    What of these cannot be read is left to its reader to refuse.
    """
    sums: dict[str, str] = {}
    for name, text in texts.items():
        place = PurePosixPath(name)
        if place.name in (INDEX, MANIFEST, CHECKPOINT):
            with suppress(ValueError):
                told = _stored_files(json.loads(text))
                sums |= {(place.parent / file).as_posix(): digest for file, digest in told.items()}
    return sums


def _stored_files(data: Any) -> dict[str, str]:
    """sha256 by name: of every `StoredFile` in an index, or of the `files` of a manifest or checkpoint."""
    if isinstance(data, list):
        entries: list[Any] = data  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(data, dict):
        if {"name", "sha256", "size_bytes"} <= data.keys():
            return {str(data["name"]): str(data["sha256"])}  # pyright: ignore[reportUnknownArgumentType]
        files: Any = data.get("files")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(files, dict):
            return {str(name): str(digest) for name, digest in files.items()}  # pyright: ignore
        entries = list(data.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    else:
        return {}
    return {name: digest for entry in entries for name, digest in _stored_files(entry).items()}


def _in_threads(fetch: Any, names: Iterable[str]) -> dict[str, Future[None]]:
    """A future per name. The threads end with the program: what is on its way does not hold it up."""
    coming = {name: Future[None]() for name in names}
    waiting = deque(coming.items())  # of its own: who waits for a file may take it out of `coming`

    def work() -> None:
        while waiting:
            try:
                name, future = waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            if future.set_running_or_notify_cancel():
                try:
                    fetch(name)
                except BaseException as error:  # told to who waits for the file
                    future.set_exception(error)
                else:
                    future.set_result(None)

    for number in range(min(NUM_THREADS, len(coming))):
        Thread(target=work, name=f"fetch-{number}", daemon=True).start()
    return coming
