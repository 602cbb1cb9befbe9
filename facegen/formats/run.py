"""The folder of one training run, and the lock that keeps a second process out of it.

RUN/
  recipe.yaml        the fully resolved recipe, as it is now
  history.jsonl      what was changed on the way, if anything was
  environment.json   versions and hardware of the process that started the run
  metrics.jsonl      one JSON object per line, each with its "step"
  run.lock           held while a process trains here; names its host and PID
  checkpoints/ samples/ capsules/ tensorboard/ evaluations/
  report.html README.md   written by `facegen report`
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from filelock import BaseFileLock, FileLock, Timeout, UnixFileLock

import facegen
from facegen.config.documents import mapping_of, parse_json, parse_yaml
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import StorageError, UsageError
from facegen.formats.far import shared_path
from facegen.formats.far_store import is_far, spelled
from facegen.formats.files import atomic_write, is_running, saving, write_json
from facegen.formats.history import RunEvent, read_history, with_changes, without_changes, write_history

RUN_FORMAT_VERSION = 1
RECIPE_FILE = "recipe.yaml"
ENVIRONMENT_FILE = "environment.json"
METRICS_FILE = "metrics.jsonl"
LOCK_FILE = "run.lock"
LOCK_BESIDE = "run.lock.held"  # what is locked where a locked file's text cannot be read
NEWEST_BYTES = 64 << 10  # of the log


class RunDirectory:
    """Paths and files of a run. Use `locked_run` to get one that may be written to."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether a run has been started here."""
        return (self.path / RECIPE_FILE).is_file()

    @property
    def metrics_file(self) -> Path:
        return self.path / METRICS_FILE

    def checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / name

    def sample_file(self, step: int) -> Path:
        return self.path / "samples" / f"step-{step:08d}.png"

    def start(self, recipe: Recipe, events: Sequence[RunEvent] = (), **chosen: str) -> None:
        """Write `recipe.yaml`, the `events` it begins with, and `environment.json` with what was `chosen`.

        Raises:
            StorageError: the folder cannot be written to.
        """
        with saving(f"the run '{self.path}'"):
            (self.path / "checkpoints").mkdir(exist_ok=True)
            environment = {**describe_environment(), "id": uuid4().hex, **chosen}  # no other run has that
            write_json(self.path / ENVIRONMENT_FILE, environment)
            self.change(recipe, events)

    def change(self, recipe: Recipe, events: Sequence[RunEvent]) -> None:
        """Write the run's recipe, and all events since its start, which come first: see `history`.

        Raises:
            StorageError: the folder cannot be written to.
        """
        with saving(f"the recipe of the run '{self.path}'"):
            if events or self.history():  # of a start that was killed
                write_history(self.path, events)
            text: str = yaml.safe_dump(  # pyright: ignore[reportUnknownMemberType]
                recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True
            )
            atomic_write(self.path / RECIPE_FILE, text)

    def history(self) -> list[RunEvent]:
        """What was done to the run since its start, oldest first.

        Raises:
            StorageError: the file is unreadable.
        """
        return read_history(self.path)

    def recipe(self) -> Recipe:
        """The recipe the run goes on with; equal to the one it was started with if nothing was changed.

        Raises:
            UsageError: there is no run here.
            StorageError: `recipe.yaml` is unreadable.
        """
        return parse_recipe(self.recipe_data())

    def recipe_data(self) -> dict[str, Any]:
        """As `recipe`, plain data as they stand there: no section is checked, no kind is loaded.

        Raises:
            UsageError: there is no run here.
            StorageError: `recipe.yaml` or `history.jsonl` is unreadable.
        """
        if not self.exists:
            raise UsageError(
                f"'{self.path}' is not a run: it has no '{RECIPE_FILE}'.",
                hint="Start one with: facegen train --preset NAME --data LATENTS --run DIR",
            )
        try:
            data = mapping_of(parse_yaml((self.path / RECIPE_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StorageError(f"'{self.path / RECIPE_FILE}' is unreadable: {error}.") from error
        if data is None:
            raise StorageError(f"'{self.path / RECIPE_FILE}' is unreadable: it has no sections.")
        return with_changes(data, self.history())

    def first_recipe(self) -> Recipe:
        """The recipe the run was started with.

        Raises:
            UsageError: there is no run here.
            StorageError: `recipe.yaml` or `history.jsonl` is unreadable.
        """
        return parse_recipe(without_changes(self.recipe().model_dump(mode="json"), self.history()))

    def metrics(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`, up to a line that is torn or none."""
        if not self.metrics_file.is_file():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return [record for record in takewhile(bool, map(_record, lines)) if record]

    def newest_metrics(self) -> list[dict[str, Any]]:
        """The records in the last 64 KiB of `metrics.jsonl`; lines that are none are passed over."""
        if not self.metrics_file.is_file():
            return []
        with self.metrics_file.open("rb") as stream:
            stream.seek(max(0, self.metrics_file.stat().st_size - NEWEST_BYTES))
            lines = stream.read().decode("utf-8", errors="replace").splitlines()
        return [record for record in map(_record, lines) if record]

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Add one line to `metrics.jsonl`."""
        with saving(f"'{self.metrics_file}'"), self.metrics_file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def truncate_metrics(self, step: int) -> None:
        """Drop the records after `step`, which the resumed run writes again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        with saving(f"'{self.metrics_file}'"):
            atomic_write(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))


@contextmanager
def locked_run(path: Path) -> Generator[RunDirectory]:
    """Create the folder if needed and hold its lock. A lock whose holder died is taken over.

    The system's lock on the file vanishes with its process; the file's text only names the holder. A holder
    on another host, where such a lock may not reach, is believed to be alive.

    Raises:
        UsageError: another process trains here; names its host and PID.
        StorageError: the folder cannot be created or written to.
    """
    path = Path(path)
    if is_far(path):
        raise UsageError(
            f"'{spelled(path)}' is on a far store, and a run is trained in a local folder.",
            hint=f"Its checkpoints can be copied there: --upload {spelled(path)}",
        )
    file, here = path / LOCK_FILE, socket.gethostname()
    with saving(f"the run folder '{path}'"):
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = _lock(file).acquire(blocking=False)
        except Timeout as error:
            raise _held_by(path, _holder(file)) from error
    with lock:
        holder = _holder(file)
        if holder and holder.get("host") != here:
            raise _held_by(path, holder)
        file.write_text(json.dumps({"host": here, "pid": os.getpid()}), encoding="utf-8")
        try:
            yield RunDirectory(path)
        finally:
            file.write_text("")


def who_trains(run: Path) -> str | None:
    """PID and host of the process that trains in `run`, in words; None where none does. Writes nothing."""
    file = run / LOCK_FILE
    holder = _holder(file)
    if holder is not None and holder["host"] == socket.gethostname():
        try:
            with _lock(file).acquire(blocking=False):
                return None  # it was killed
        except Timeout:
            pass
        except OSError:  # another user's, whose lock only the system can look at
            holder = holder if is_running(str(holder["pid"])) else None
    return None if holder is None else _named(holder)


def _lock(file: Path) -> BaseFileLock:
    """The system's lock on `file`, which stays; on Windows, or without `fcntl`, on another beside it."""
    if issubclass(FileLock, UnixFileLock):
        return FileLock(file, preserve_lock_file=True)
    return FileLock(file.with_name(LOCK_BESIDE))


def folders_of(run: Path, path: str) -> Iterator[Path]:
    """`path` from here, and from the folders above the run, as commands are often given from there."""
    yield Path(path)
    if not (os.path.isabs(path) or is_far(path)):
        for base in run.resolve().parents[:2]:
            yield base / path


def describe_environment() -> dict[str, Any]:
    """Versions and hardware, for `environment.json`."""
    import torch

    cuda_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "format_version": RUN_FORMAT_VERSION,
        "facegen": facegen.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in ("torch", "diffusers", "numpy", "safetensors")},
        "cpu_threads": torch.get_num_threads(),
        "cuda_devices": [torch.cuda.get_device_name(i) for i in range(cuda_devices)],
        "host": socket.gethostname(),
        "command": [Path(sys.argv[0]).name, *shared_words(sys.argv[1:])],
    }


def shared_words(words: Sequence[str]) -> list[str]:
    """The words of a command line without the places of what they name: reports show them."""

    def shared(word: str) -> str:
        option, equals, value = word.rpartition("=")
        return f"{option}{equals}{shared_path(Path(value)) if os.path.isabs(value) else value}"

    return [shared(word) for word in words]


def _holder(file: Path) -> dict[str, Any] | None:
    """Who the lock's text names; None if nobody, or unreadably."""
    try:
        told = mapping_of(parse_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return told if told and {"pid", "host"} <= told.keys() else None


def _named(holder: dict[str, Any]) -> str:
    return f"PID {holder['pid']} on host '{holder['host']}'"


def _record(line: str) -> dict[str, Any] | None:
    """A line of the log; None if it is none."""
    try:
        record = mapping_of(parse_json(line))
    except ValueError:
        return None
    return record if record is not None and isinstance(record.get("step"), int) else None


def _held_by(path: Path, holder: dict[str, Any] | None) -> UsageError:
    who = _named(holder) if holder else "another process"
    return UsageError(
        f"The run '{path}' is in use by {who}.",
        hint=f"Wait for it or stop it. If that process is gone for certain, delete '{path / LOCK_FILE}'.",
    )
