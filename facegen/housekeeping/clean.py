"""`facegen clean`: what can be made again, by kind, and removing it.

Data sets, latents, recipes, logs, reports, pictures and weights that are the only ones are none of it, and
nothing in a run is while a process trains there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from facegen.caches import user_cache
from facegen.errors import FacegenError, UsageError
from facegen.formats.checkpoint_head import list_leftovers, remove_checkpoint
from facegen.formats.disk import freed_by
from facegen.formats.far_cache import copies, remove_unused
from facegen.formats.files import WORK_SUFFIX, is_leftover, sha256_of
from facegen.formats.run import locked_run, who_trains
from facegen.housekeeping.options import CleanOptions
from facegen.housekeeping.state import Heads, is_run, read_heads, state_at_rest

DEEPEST = 8  # folders within one another that are looked into
QUIET_SECONDS = 24 * 3600.0  # features that nobody added to for so long are no running command's
TEMPORARY = "temporary files of killed commands"
SAVES = "killed saves, and checkpoints set aside"
CHECKPOINTS = "checkpoints beside the best and the newest"
UNFINISHED = "unfinished work of stopped commands"
FEATURES = "features of images in the cache"
COPIES = "copies of far data in the cache"


@dataclass(frozen=True)
class Things:
    """All that is of one `kind`; `size_bytes` is what removing it frees."""

    kind: str
    paths: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class Cleaning:
    """What can be made again in the folders `looked_in`, or what of it was `removed`. `left` says of what
    stays, although it is of a kind, why."""

    looked_in: tuple[str, ...]
    things: tuple[Things, ...]
    left: dict[str, str] = field(default_factory=dict[str, str])
    removed: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.things)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "size_bytes": self.size_bytes}


def look(path: Path | None, options: CleanOptions) -> Cleaning:
    """What can be made again in `path`; where None is given, in the working folder and facegen's cache.

    Raises:
        UsageError: there is no such folder.
    """
    if path is not None and not path.is_dir():
        raise UsageError(
            f"'{path}' is {'a file' if path.exists() else 'not there'}; what is cleaned is a folder.",
            hint="Name a run or a folder of runs, or leave it out for the working folder and the cache.",
        )
    place, cache, left = path or Path(), user_cache(), dict[str, str]()
    is_cache = place.resolve() == cache.resolve()
    places = [place] if path is not None or is_cache else [place, cache]
    found = dict[Path, str]()
    if not is_cache:
        found.update(_in_folder(place, options, left, DEEPEST))
    if cache in places or is_cache:
        found.update(_in_cache(cache, left))
    kinds = dict.fromkeys(found.values())
    by_kind = {kind: [one for one, its in found.items() if its == kind] for kind in kinds}
    things = tuple(Things(kind, tuple(map(str, all_)), freed_by(*all_)) for kind, all_ in by_kind.items())
    return Cleaning(tuple(map(str, places)), things, left)


def remove(seen: Cleaning, options: CleanOptions) -> Cleaning:
    """Remove what was seen, as far as it still may go."""
    things, left = list[Things](), dict(seen.left)
    for one in seen.things:
        gone = dict[str, int]()
        if one.kind in (SAVES, CHECKPOINTS):
            for run, paths in groupby(map(Path, one.paths), key=lambda path: path.parents[1]):
                gone.update(_removed_in_run(run, list(paths), one.kind, options, left))
        else:
            gone.update(_removed(map(Path, one.paths), one.kind, left))
        things.append(Things(one.kind, tuple(gone), sum(gone.values())))
    return Cleaning(seen.looked_in, tuple(things), left, removed=True)


def _in_folder(
    folder: Path, options: CleanOptions, left: dict[str, str], depth: int
) -> Iterator[tuple[Path, str]]:
    """What can go in a folder and those in it; links are not followed."""
    if is_run(folder):
        if (who := who_trains(folder)) is not None:
            left[str(folder)] = f"in use by {who}"
            return
        yield from _in_run(folder, options)
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError):  # not ours to read
        entries = sorted(os.scandir(folder), key=lambda one: one.name)
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink():
            continue
        if is_leftover(entry.name):
            yield path, TEMPORARY
        elif options.unfinished and _is_work(path):
            if (path / "dataset").exists():
                left[str(path)] = "it may hold a data set that is whole: repeat the command that made it"
            else:
                yield path, UNFINISHED
        elif entry.is_dir() and not entry.name.startswith(".") and depth:
            yield from _in_folder(path, options, left, depth - 1)


def _in_run(run: Path, options: CleanOptions) -> Iterator[tuple[Path, str]]:
    heads = read_heads(run)
    for hidden in list_leftovers(run):
        if is_leftover(hidden.name):
            yield hidden, TEMPORARY
        elif heads.checkpoints:  # otherwise these may be the only weights
            yield hidden, SAVES
    if options.checkpoints and not heads.damage and state_at_rest(heads)[0] in ("finished", "stopped early"):
        *older, newest = heads.checkpoints
        spare = [folder for folder in older if folder != heads.best]
        if spare and _is_whole(heads, newest) and _is_whole(heads, heads.best):
            yield from ((folder, CHECKPOINTS) for folder in spare)


def _is_whole(heads: Heads, folder: Path | None) -> bool:
    """Whether every file of a checkpoint is what it was."""
    files = {} if folder is None else heads.checkpoints[folder].files
    return folder is not None and all(sha256_of(folder / name) == digest for name, digest in files.items())


def _is_work(path: Path) -> bool:
    """Whether a command works, or worked, here on what it had not finished."""
    told = (path / "settings.json", path / "job.json")  # of sample and of prepare
    return path.name.startswith(".") and path.name.endswith(WORK_SUFFIX) and any(map(Path.is_file, told))


def _in_cache(cache: Path, left: dict[str, str]) -> Iterator[tuple[Path, str]]:
    for path in sorted((cache / "features").glob("*")):
        age = time.time() - _last_written([path, *path.glob("*")])
        if path.is_dir() and age < QUIET_SECONDS:  # nothing else tells whether a command goes on there
            left[str(path)] = f"written to {age / 3600:.1f} hours ago: a command may be going on with it"
        else:
            yield path, FEATURES
    yield from ((copy, COPIES) for copy in copies())


def _last_written(paths: Iterable[Path]) -> float:
    times = [0.0]
    for path in paths:
        with suppress(OSError):  # gone meanwhile
            times.append(path.stat().st_mtime)
    return max(times)


def _removed_in_run(
    run: Path, paths: list[Path], kind: str, options: CleanOptions, left: dict[str, str]
) -> Iterator[tuple[str, int]]:
    """Remove what is still to go of a run in which nobody trains; each path and what that freed."""
    try:
        with locked_run(run):
            now = [path for path, its in _in_run(run, options) if its == kind]
            left.update({str(path): "the run went on meanwhile" for path in paths if path not in now})
            yield from _removed((path for path in paths if path in now), kind, left)
    except FacegenError as error:
        left.update({str(path): str(error).partition("\n")[0] for path in paths})


def _removed(paths: Iterable[Path], kind: str, left: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Remove `paths`; each that is gone and what that freed."""
    for path in paths:
        size = freed_by(path)  # what it shared with those before is its own by now
        try:
            _remove(path, kind)
        except Timeout:
            left[str(path)] = "in use"
        except OSError as error:
            left[str(path)] = str(error)
        else:
            yield str(path), size


def _remove(path: Path, kind: str) -> None:
    """Remove one thing.

    Raises:
        Timeout: a command uses it.
        OSError: it cannot be removed.
    """
    if kind == COPIES:
        remove_unused(path)
    elif kind == CHECKPOINTS:
        remove_checkpoint(path)
    elif kind == UNFINISHED:
        with FileLock(path / "lock", blocking=False):
            shutil.rmtree(path)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
