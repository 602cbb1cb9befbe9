"""Checkpoints copied to a far store while training goes on.

The far folder becomes the run again: `facegen sample s3://bucket/runs/x` reads it. Of a checkpoint its
`checkpoint.json` goes last and is removed first, so that one half there is never taken for whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from facegen.errors import MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint_head import INFO_FILE, list_checkpoints
from facegen.formats.ema_snapshots import FOLDER as SNAPSHOTS
from facegen.formats.ema_snapshots import INDEX_FILE as SNAPSHOTS_INDEX
from facegen.formats.ema_snapshots import EmaSnapshots
from facegen.formats.far import fetched, near
from facegen.formats.far_store import FarStore, is_far, spelled
from facegen.formats.files import saving, sha256_of
from facegen.formats.history import HISTORY_FILE
from facegen.formats.run import ENVIRONMENT_FILE, RECIPE_FILE, RunDirectory, locked_run
from facegen.protocols import Progress

LAST_WAIT_SECONDS = 600.0  # for what is still to be copied when training has ended
STOPPED_WAIT_SECONDS = 25.0  # when it was stopped: launchers kill after 30
RETRY_SECONDS = 30.0
LAST_RETRY_SECONDS = 1.0
BESIDE_CHECKPOINTS = (RECIPE_FILE, HISTORY_FILE, ENVIRONMENT_FILE, "metrics.jsonl")


def check_upload(url: str, run: RunDirectory, progress: Progress) -> None:
    """See that the checkpoints of `run`, which may be there already, can be copied to the far folder `url`.

    Raises:
        UsageError: no far address, or another run is there already.
        MissingModelError: there is no access to it; when a run goes on, this is warned about alone.
    """
    if not is_far(url):
        raise UsageError(
            f"--upload '{url}' is not on a far store.", hint="Give s3://BUCKET/FOLDER, gs://... or hf://..."
        )
    store = FarStore(url)
    try:
        store.check_bucket()
        held = store.read(ENVIRONMENT_FILE) if store.has(ENVIRONMENT_FILE) else None
    except (MissingModelError, StorageError) as error:
        if not run.exists:
            raise
        progress.warn(f"{error}\nCopying is tried again after the next checkpoint.")
        return
    own = run.path / ENVIRONMENT_FILE
    if held is not None and not (own.is_file() and own.read_bytes() == held):
        raise UsageError(
            f"'{store.url}' already holds {'another' if run.exists else 'a'} run.",
            hint="Choose another --upload"
            + ("." if run.exists else ", or go on with that run: --run RUN --resume --upload ..."),
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
    with saving(f"the run '{run}'"), locked_run(run):
        for folder in list_checkpoints(fetched(copy)):
            shutil.copytree(folder, run / "checkpoints" / folder.name, dirs_exist_ok=True)
        if (copy / SNAPSHOTS).is_dir():
            shutil.copytree(copy / SNAPSHOTS, run / SNAPSHOTS, dirs_exist_ok=True)
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
        self._changed = Condition()  # of the next four
        self._asked = self._done = 0  # how often for a copy, and how many of these stand there
        self._ending = self._closed = False
        self._copied: dict[str, str] = {}  # name of a checkpoint -> sha256 of its checkpoint.json
        self._files = {folder.name: _files_of(folder) for folder in list_checkpoints(run.path)}
        self._snapshots: set[str] = set()
        Thread(target=self._work, name="upload", daemon=True).start()

    def upload(self) -> None:
        """Ask for the run as it is now to be copied; returns at once."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def finish(self, wait_seconds: float) -> None:
        """Copy what has changed since, wait for that so long at most, and warn if it did not get done."""
        self._progress.say(f"Waiting for the copy to '{self._store.url}'.")
        with self._changed:
            self._asked += 1
            self._ending = True
            self._changed.notify_all()
            complete = self._changed.wait_for(lambda: self._done == self._asked, wait_seconds)
            self._closed = True
            self._changed.notify_all()
        if not complete:
            self._progress.warn(
                f"The copy in '{self._store.url}' is not complete; the run '{self._run.path}' is. "
                "The same command with --resume copies the rest."
            )

    def _work(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._done < self._asked)
                if self._closed:
                    return
                asked = self._asked
            try:
                self._copy()
            except Exception as error:  # whatever a store's package may raise
                failures += 1
                if failures == 1:
                    self._progress.warn(
                        f"Checkpoints are not being copied for now, training goes on: {error}"
                    )
                self._pause()
                continue
            failures = 0
            with self._changed:
                self._done = asked
                self._changed.notify_all()

    def _pause(self) -> None:
        """Wait before the next try, not for long when the run is ending."""
        with self._changed:
            if not self._ending:
                self._changed.wait_for(lambda: self._ending, RETRY_SECONDS)
            else:
                self._changed.wait_for(lambda: self._closed, LAST_RETRY_SECONDS)

    def _copy(self) -> None:
        for name in BESIDE_CHECKPOINTS:
            if (self._run.path / name).is_file():
                self._store.write(self._run.path / name, name)
        self._copy_snapshots()
        for folder in list_checkpoints(self._run.path):
            try:
                self._copy_checkpoint(folder)
            except Exception:
                if folder.exists():  # otherwise it was no longer wanted while it was read
                    raise
        kept = {folder.name for folder in list_checkpoints(self._run.path)}
        for name in self._files.keys() - kept:
            self._remove(name)

    def _copy_snapshots(self) -> None:
        """Copy the averages' snapshots that are new, and their index last."""
        snapshots = EmaSnapshots(self._run.path)
        named = {one.file: one.sha256 for one in snapshots.all()}
        fresh = {name: digest for name, digest in named.items() if digest not in self._snapshots}
        for name in fresh:
            self._store.write(snapshots.folder / name, f"{snapshots.folder.name}/{name}")
        if fresh:
            index = snapshots.folder / SNAPSHOTS_INDEX
            self._store.write(index, f"{snapshots.folder.name}/{index.name}")
            self._snapshots |= {*fresh.values()}

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
