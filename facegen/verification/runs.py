"""Runs and checkpoints, and what can be mended of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from facegen.formats.checkpoint import AUTOENCODER_FOLDER, Checkpoint, load_checkpoint
from facegen.formats.checkpoint_head import INFO_FILE, clean_leftovers, list_checkpoints, list_leftovers
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.ema_snapshots import EmaSnapshots, list_averages
from facegen.formats.files import atomic_write, sha256_of
from facegen.formats.latents import INDEX_FILE, read_index
from facegen.formats.run import RunDirectory, folders_of, locked_run
from facegen.verification.findings import Finding, check_sum, found, matched

TORN = "a torn last line"


def verify_run(folder: Path, *, repair: bool) -> Iterator[Finding]:
    """Recipe, log, checkpoints, averages and data of a run; with `repair`, as no process trains in it.

    Raises:
        UsageError: a process trains here, which repairing would disturb.
    """
    run = RunDirectory(folder)
    if repair:
        with locked_run(folder):
            yield from _mended(run)
    recipe = found("recipe.yaml", run.recipe)
    yield recipe
    yield _log(run)
    checkpoints = list_checkpoints(folder)
    for one in (*checkpoints, *list_averages(folder)):
        yield from verify_checkpoint(one, str(one.relative_to(folder)))
    for one in list_leftovers(folder):
        yield Finding(str(one.relative_to(folder)), "left over", "of a save that was killed, or set aside")
    yield from _snapshots(folder)
    newest = _newest_whole(checkpoints)
    if newest is not None and recipe.state == "whole":
        yield from _data(run, newest)
    if newest is None and checkpoints:
        yield Finding("checkpoints", "damaged", "none of them is whole", "Start again in a new run folder.")


def verify_checkpoint(folder: Path, name: str) -> Iterator[Finding]:
    """Every file of a checkpoint."""
    info = found(f"{name}/{INFO_FILE}", lambda: load_checkpoint(folder).verify_info())
    yield info
    if info.state == "whole":
        yield from (found(f"{name}/{file}", check) for file, check in _checks(load_checkpoint(folder)))


def _checks(checkpoint: Checkpoint) -> Iterator[tuple[str, Callable[[], None]]]:
    for file, digest in checkpoint.info.files.items():
        yield file, partial(check_sum, checkpoint.folder / file, digest)


def _log(run: RunDirectory) -> Finding:
    """The lines of metrics.jsonl; a torn last one is what a kill leaves, and resuming drops it."""
    file = run.metrics_file
    if not file.is_file():
        return Finding(file.name, "whole", "not begun yet")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    torn = len(lines) - len(run.metrics())
    if torn > 1:
        return Finding(file.name, "damaged", f"{torn} lines from {len(lines) - torn + 1} on are no JSON")
    if torn:
        return Finding(file.name, "left over", TORN)
    return Finding(file.name, "whole", f"{len(lines)} lines")


def _snapshots(folder: Path) -> Iterator[Finding]:
    snapshots = EmaSnapshots(folder)
    if snapshots.folder.is_dir():

        def read() -> None:
            with snapshots.opened(snapshots.all()):
                pass

        yield found("ema", read)


def _data(run: RunDirectory, checkpoint: Checkpoint) -> Iterator[Finding]:
    """Whether the data that the recipe names are those that the run was trained on."""
    told, trained_on = run.recipe().data.path, checkpoint.info.data_fingerprint
    if told is None or trained_on is None:
        return
    for folder in folders_of(run.path, told):
        if (folder / INDEX_FILE).is_file():
            here = read_index(folder).fingerprint
        elif (folder / MANIFEST_NAME).is_file():
            here = Dataset.open(folder).manifest.fingerprint
        else:
            continue
        mend = "Name the data of this run: facegen train --run RUN --resume --data DIR"
        yield matched("data", here, trained_on, f"fingerprint of '{told}' and of what was trained on", mend)
        return
    yield Finding("data", "left over", f"'{told}' is not there to compare with")


def _newest_whole(folders: list[Path]) -> Checkpoint | None:
    for folder in reversed(folders):
        if all(one.state == "whole" for one in verify_checkpoint(folder, folder.name)):
            return load_checkpoint(folder)
    return None


def _mended(run: RunDirectory) -> Iterator[Finding]:
    """Mend what the truth of is still there, and set aside what is beyond that."""
    for name in clean_leftovers(run.path):
        yield Finding(f"checkpoints/{name}", "mended", "removed: nothing reads it")
    checkpoints = list_checkpoints(run.path)
    for folder in checkpoints:
        yield from _refilled(folder, [*checkpoints, *_data_folders(run)])
    if _newest_whole(checkpoints) is not None:
        for folder in checkpoints:
            if any(one.state == "damaged" for one in verify_checkpoint(folder, folder.name)):
                aside = folder.rename(folder.with_name(f".{folder.name}.corrupt"))
                yield Finding(f"checkpoints/{folder.name}", "mended", f"set aside as '{aside.name}'")
    if _log(run).about == TORN:
        records = run.metrics()
        atomic_write(run.metrics_file, "".join(json.dumps(one) + "\n" for one in records))
        yield Finding(run.metrics_file.name, "mended", "the torn last line is gone")


def _refilled(folder: Path, places: list[Path]) -> Iterator[Finding]:
    """Copy damaged files of a checkpoint's autoencoder from where they still are what they were."""
    if found(folder.name, lambda: load_checkpoint(folder)).state != "whole":
        return
    for file, digest in load_checkpoint(folder).info.files.items():
        target, is_copied = folder / file, file.startswith(f"{AUTOENCODER_FOLDER}/")
        if not is_copied or found(file, partial(check_sum, target, digest)).state == "whole":
            continue
        for place in places:
            source = place / file
            if source.is_file() and sha256_of(source) == digest:
                atomic_write(target, source.read_bytes())
                yield Finding(f"checkpoints/{folder.name}/{file}", "mended", f"copied from '{place.name}'")
                break


def _data_folders(run: RunDirectory) -> list[Path]:
    readable = found("recipe.yaml", run.recipe).state == "whole"
    told = run.recipe().data.path if readable else None
    return [] if told is None else [one for one in folders_of(run.path, told) if one.is_dir()]
