"""Where pictures stand until all are there, so that a stopped `facegen sample` goes on from them.

samples/.0001.partial/      beside `samples/0001`, which it becomes
  lock                      held by the process that draws
  settings.json             what is drawn; only the same request goes on with the pictures
  pictures/                 renamed to `samples/0001` when whole
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from facegen.errors import Terminated, UsageError
from facegen.formats.files import WORK_SUFFIX, atomic_write, put_in_place, sha256_of, storage_errors
from facegen.processes import world
from facegen.protocols import Progress

NUMBERED = Path("samples")
LONGEST_NAME_BYTES = 200  # of a folder whose work folder is called after it


@dataclass(frozen=True)
class Work:
    """What is drawn for `out` with `settings`, and the hidden folder beside it where that stands."""

    out: Path
    settings: str

    @property
    def folder(self) -> Path:
        name = os.fsencode(self.out.name)
        short = self.out.name if len(name) <= LONGEST_NAME_BYTES else sha256_of(name)[:32]
        return self.out.with_name(f".{short}{WORK_SUFFIX}")

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def num_pictures(self) -> int:
        return len(list(self.pictures.glob("*.png")))

    @property
    def is_ours(self) -> bool:
        """Whether the pictures that stand here, if any, were drawn with the same settings."""
        with suppress(OSError, UnicodeDecodeError):
            return self._settings_file.read_text(encoding="utf-8") == self.settings
        return not self.num_pictures

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"

    def lock(self) -> Any:
        """The folder's lock as a context, taken; None if another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.folder / "lock").acquire(blocking=False)
        except Timeout:
            return None

    def begin(self) -> None:
        """Make the folder of the pictures, empty unless they are ours."""
        if not self.is_ours:
            shutil.rmtree(self.pictures)
        self.pictures.mkdir(exist_ok=True)
        atomic_write(self._settings_file, self.settings)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def open_work(out: Path | None, settings: Mapping[str, Any], progress: Progress) -> Generator[Work]:
    """The work for `out`, or for the number in `samples/` begun with the same `settings`, or for a free one.

    Its pictures take their place when the block succeeds; otherwise they stay for the same command.

    Raises:
        UsageError: `out` is in the way, or another process draws into it now.
        StorageError: the disk is full or may not be written.
        Terminated: a signal's, with what is there and how to go on.
    """
    text = json.dumps(settings, ensure_ascii=False, indent=1)
    with storage_errors(out or NUMBERED):
        work, lock = _numbered(text, progress) if out is None else _named(out, text, progress)
        with lock:
            try:
                check_out(work.out)  # another process may have finished it before it was locked
                work.begin()
                yield work
                check_out(work.out)
                put_in_place(work.pictures, work.out)
            except Terminated as stopped:
                raise Terminated(_told(stopped, work, settings), exit_code=stopped.exit_code) from stopped
            finally:
                if not work.num_pictures:
                    work.remove()


@contextmanager
def shared_work(out: Path | None, settings: Mapping[str, Any], progress: Progress) -> Generator[Work]:
    """As `open_work`; of several processes the first opens it, and all draw into it."""
    first = world().first
    with ExitStack() as held:
        work = first(lambda: held.enter_context(open_work(out, settings, progress)))
        with storage_errors(work.out):
            yield work
        first(held.pop_all().close)


def check_out(out: Path) -> None:
    """Refuse what cannot become a new folder.

    Raises:
        UsageError: it is the current folder, or in the way.
        StorageError: it has a name that no folder may have, or may not be read.
    """
    if out.resolve() == Path.cwd():
        raise UsageError(
            f"'{out}' is the folder you are in; samples make a new one.", hint="--out samples/me"
        )
    with storage_errors(out):
        in_the_way = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if in_the_way:
        raise UsageError(f"'{out}' is in the way: it exists and is not empty.", hint="Choose another --out.")


def _named(out: Path, settings: str, progress: Progress) -> tuple[Work, Any]:
    """The work for `out`, locked."""
    work = Work(out, settings)
    lock = work.lock()
    if lock is None:
        raise UsageError(f"Another facegen draws into '{out}' now.", hint="Choose another --out.")
    if not work.is_ours:
        progress.say(f"{work.num_pictures:,} pictures of another command that was stopped are replaced.")
    return work, lock


def _numbered(settings: str, progress: Progress) -> tuple[Work, Any]:
    """The work for a number, locked: one begun with these settings, otherwise the first free one."""
    names = sorted(folder.name[1 : -len(WORK_SUFFIX)] for folder in NUMBERED.glob(f".*{WORK_SUFFIX}"))
    begun = [Work(NUMBERED / name, settings) for name in names if name.isdigit()]
    for work in chain((one for one in begun if one.is_ours), _all_numbers(settings)):
        lock = None if work.out.exists() else work.lock()
        if lock is None:
            continue
        if work.is_ours and not work.out.exists():
            return work, lock
        with lock:
            if not work.num_pictures:  # finished by another process in the meantime
                work.remove()
                continue
            progress.say(
                f"'{work.folder}' holds {work.num_pictures:,} pictures of another command that was stopped: "
                "repeat that one to go on with them, or delete the folder."
            )
    raise AssertionError("numbers do not end")


def _all_numbers(settings: str) -> Iterator[Work]:
    return (Work(NUMBERED / f"{number:04d}", settings) for number in count(1))


def _told(stopped: Terminated, work: Work, settings: Mapping[str, Any]) -> str:
    done, folder = work.num_pictures, work.folder
    if not done:
        return f"{stopped} No picture was finished."
    return (
        f"{stopped} {done:,} of {settings['count']:,} pictures are in '{folder}'.\n"
        "The same command goes on from there."
    )
