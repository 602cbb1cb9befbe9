"""Checkpoints copied to a far store while training goes on.

The far folder becomes the run again: `facegen sample s3://bucket/runs/x` reads it. Of a checkpoint its
`checkpoint.json` goes last and is removed first, so that one half there is never taken for whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from facegen.errors import FacegenError, UsageError
from facegen.formats.checkpoint import INFO_FILE, list_checkpoints
from facegen.formats.far import fetched, near
from facegen.formats.far_store import FarStore, is_far, spelled
from facegen.formats.files import saving, sha256_of
from facegen.formats.history import HISTORY_FILE
from facegen.formats.run import RECIPE_FILE, RunDirectory
from facegen.protocols import Progress

LAST_WAIT_SECONDS = 600.0  # for what is still to be copied when training has ended
STOPPED_WAIT_SECONDS = 60.0  # when it was stopped: whoever stops it will not wait for long
RETRY_SECONDS = 30.0
LAST_RETRY_SECONDS = 1.0
BESIDE_CHECKPOINTS = (RECIPE_FILE, HISTORY_FILE, "environment.json", "metrics.jsonl")


def check_upload(url: str, *, resume: bool, progress: Progress) -> None:
    """See that a run's checkpoints can be copied to the far folder `url`.

    Raises:
        UsageError: no far address, or another run is there already.
        MissingModelError: there is no access to it; when a run goes on, this is warned about alone.
    """
    if not is_far(url):
        raise UsageError(
            f"--upload '{url}' is not on a far store.", hint="Give s3://BUCKET/FOLDER, gs://... or hf://..."
        )
    store, taken = FarStore(url), False
    try:
        store.check_bucket()
        taken = store.has(RECIPE_FILE)
    except FacegenError as error:
        if not resume:
            raise
        progress.warn(f"{error} It is tried again after the next checkpoint.")
    if taken and not resume:
        raise UsageError(
            f"'{store.url}' already holds a run.",
            hint="Choose another --upload, or go on with that run: --run RUN --resume --upload ...",
        )


def take_back(url: str, run: Path, progress: Progress) -> None:
    """Bring the run that was copied to the far folder `url` into `run`, unless one is here or none is there.

    Raises:
        MissingModelError, StorageError: it cannot be reached, or is damaged.
    """
    if not is_far(url) or RunDirectory(run).exists or not FarStore(url).has(RECIPE_FILE):
        return
    progress.say(f"There is no run in '{run}': going on with that of '{spelled(url)}'.")
    copy = near(url, progress)
    with saving(f"the run '{run}'"):
        for folder in list_checkpoints(fetched(copy)):
            shutil.copytree(folder, run / "checkpoints" / folder.name, dirs_exist_ok=True)
        for name in reversed(BESIDE_CHECKPOINTS):  # the recipe last: it makes a run of a folder
            if (copy / name).is_file():
                shutil.copyfile(copy / name, run / name)


@contextmanager
def uploading(url: str | None, run: RunDirectory, progress: Progress) -> Generator[Uploader | None]:
    """An uploader of `run` while the block runs; at its end what is left is waited for, a bounded time."""
    if url is None:
        yield None
        return
    uploader = Uploader(FarStore(url), run, progress)
    try:
        yield uploader
    except BaseException:
        uploader.finish(STOPPED_WAIT_SECONDS)
        raise
    uploader.finish(LAST_WAIT_SECONDS)


class Uploader:
    """Makes the far folder like the run, in a thread of its own, whenever `upload` is called.

    What goes wrong is warned about and tried again. Far checkpoints that this process has not seen in the
    run are left alone.
    """

    def __init__(self, store: FarStore, run: RunDirectory, progress: Progress) -> None:
        self._store, self._run, self._progress = store, run, progress
        self._wanted, self._idle, self._ending, self._closed = Event(), Event(), Event(), Event()
        self._idle.set()
        self._copied: dict[str, str] = {}  # name of a checkpoint -> sha256 of its checkpoint.json
        self._files = {folder.name: _files_of(folder) for folder in list_checkpoints(run.path)}
        self._thread = Thread(target=self._work, name="upload", daemon=True)
        self._thread.start()

    def upload(self) -> None:
        """Ask for the run as it is now to be copied; returns at once."""
        self._idle.clear()
        self._wanted.set()

    def finish(self, wait_seconds: float) -> None:
        """Copy what has changed since, wait for that so long at most, and warn if it did not get done."""
        self.upload()
        self._ending.set()
        if not self._idle.is_set():
            self._progress.say(f"Waiting for the copy to '{self._store.url}'.")
        if not self._idle.wait(wait_seconds):
            self._progress.warn(
                f"The copy in '{self._store.url}' is not complete; the run '{self._run.path}' is. "
                "The same command with --resume copies the rest."
            )
        self._closed.set()
        self._wanted.set()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed.is_set():
                return
            self._copy_in_the_end()
            if not self._wanted.is_set():
                self._idle.set()
                if self._wanted.is_set():  # asked for in between
                    self._idle.clear()

    def _copy_in_the_end(self) -> None:
        """Copy, again and again until it works; the first failure is told."""
        told = False
        while not self._closed.is_set():
            try:
                self._copy()
            except (FacegenError, OSError) as error:
                if not told:
                    self._progress.warn(
                        f"Checkpoints are not being copied for now, training goes on: {error}"
                    )
                told = True
            else:
                return
            if self._ending.is_set():
                time.sleep(LAST_RETRY_SECONDS)
            else:
                self._ending.wait(RETRY_SECONDS)

    def _copy(self) -> None:
        for name in BESIDE_CHECKPOINTS:
            if (self._run.path / name).is_file():
                self._store.write(self._run.path / name, name)
        for folder in list_checkpoints(self._run.path):
            try:
                self._copy_checkpoint(folder)
            except (FacegenError, OSError):
                if folder.exists():  # otherwise it was no longer wanted while it was read
                    raise
        kept = {folder.name for folder in list_checkpoints(self._run.path)}
        for name in self._files.keys() - kept:
            self._remove(name)

    def _copy_checkpoint(self, folder: Path) -> None:
        digest, last = sha256_of(folder / INFO_FILE), f"checkpoints/{folder.name}/{INFO_FILE}"
        if self._copied.get(folder.name) == digest:
            return
        self._files[folder.name] = names = _files_of(folder)
        if self._store.has(last):
            if sha256_of(self._store.read(last)) == digest:
                self._copied[folder.name] = digest
                return
            self._store.remove(last)
        for name in names:
            self._store.write(folder / name, f"checkpoints/{folder.name}/{name}")
        self._store.write(folder / INFO_FILE, last)
        self._copied[folder.name] = digest

    def _remove(self, checkpoint: str) -> None:
        for name in (INFO_FILE, *self._files[checkpoint]):
            self._store.remove(f"checkpoints/{checkpoint}/{name}")
        del self._files[checkpoint]
        self._copied.pop(checkpoint, None)


def _files_of(checkpoint: Path) -> list[str]:
    """What a checkpoint has but for its `checkpoint.json`, by name."""
    paths = (path for path in checkpoint.rglob("*") if path.is_file() and path.name != INFO_FILE)
    return sorted(path.relative_to(checkpoint).as_posix() for path in paths)
