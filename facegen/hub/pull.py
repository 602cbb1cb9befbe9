"""`facegen pull`: a run or a data set from the hub, whole in its place or not there at all.

.OUT.partial/       beside OUT, what has come so far; the same command goes on from it
  lock              held by the process that fetches
  pulled/           becomes OUT when every file is there and was compared with its checksum
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from facegen.errors import MissingModelError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import CHECKPOINTS, INFO_FILE, list_checkpoints
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far_store import is_plain_name
from facegen.formats.files import WORK_SUFFIX, put_in_place, storage_errors
from facegen.formats.hub_files import ANSWER_TIMEOUT_SECONDS, RepoType, fetch_file, quiet_hub
from facegen.formats.plain import plain
from facegen.formats.run import RECIPE_FILE, RunDirectory
from facegen.hub.dataset_package import check_files
from facegen.hub.options import PullOptions
from facegen.hub.repository import WORDS, asking, check_online, checked_name
from facegen.progress import SilentProgress
from facegen.protocols import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

NUM_THREADS = 4
DATASETS = "datasets/"  # before the name of a data set, where a model has the same one
NOT_OURS = {".cache", ".gitattributes"}


@dataclass(frozen=True)
class PullSummary:
    """What was fetched, from which commit, and where it is."""

    out: Path
    repository: str
    repo_type: RepoType
    commit: str
    files: int
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class _Found:
    name: str
    kind: RepoType
    commit: str
    files: dict[str, RepoSibling]


def pull(
    repository: str, out: Path, options: PullOptions | None = None, progress: Progress | None = None
) -> PullSummary:
    """Fetch the run or data set `repository`, "OWNER/NAME", to the new folder `out`.

    Stopped on the way, the same call goes on with the files that are missing.

    Raises:
        UsageError: no such name, `out` is in the way or is being made, or there is something else.
        MissingModelError: no such repository or revision, no access, no answer.
        StorageError: a file was damaged on its way, or the disk is full or may not be written.
    """
    options, progress = options or PullOptions(), progress or SilentProgress()
    name = checked_name(repository.removeprefix(DATASETS))
    _check_out(out)
    check_online()
    with asking(name, "pull"):
        found = _found(name, repository.startswith(DATASETS), options.revision)
    _check_ours(found)
    with _work(out) as folder:
        _fetch(found, folder, progress)
        with progress.stage("Checking"):
            _check_whole(found.kind, folder)
        _check_out(out)
        put_in_place(folder, out)
    size = sum(file.size or 0 for file in found.files.values())
    return PullSummary(out, name, found.kind, found.commit, len(found.files), size)


def _check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"'{out}' is in the way: it is not an empty folder.", hint="Give another OUT.")


def _found(name: str, is_dataset: bool, revision: str | None) -> _Found:
    """The model of that name, else the data set, with its files."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi(library_name="facegen")
    if not is_dataset:
        try:
            return _listed(api, name, "model", revision)
        except RevisionNotFoundError:
            raise
        except RepositoryNotFoundError as error:
            try:
                return _listed(api, name, "dataset", revision)
            except RepositoryNotFoundError:
                raise error from None
    return _listed(api, name, "dataset", revision)


def _listed(api: HfApi, name: str, kind: RepoType, revision: str | None) -> _Found:
    info: Any = api.repo_info(
        name, repo_type=kind, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_SECONDS
    )
    files = {one.rfilename: one for one in info.siblings or () if is_plain_name(one.rfilename)}
    if info.sha is None:
        raise MissingModelError(f"The hub's answer about '{name}' names no commit.")
    return _Found(name, kind, info.sha, files)


def _check_ours(found: _Found) -> None:
    names, what = found.files, WORDS[found.kind]
    if not names:
        raise UsageError(
            f"The {what} '{found.name}' is there and empty.", hint="Perhaps it is being pushed now: wait."
        )
    heads = [one for one in names if one.startswith(f"{CHECKPOINTS}/") and one.endswith(f"/{INFO_FILE}")]
    if found.kind == "model" and not (RECIPE_FILE in names and heads):
        raise UsageError(
            f"The model '{found.name}' is no run of facegen: there is no '{RECIPE_FILE}' with a checkpoint.",
            hint=f"A pipeline of diffusers: hf download {found.name} --local-dir OUT; facegen sample OUT",
        )
    if found.kind == "dataset" and MANIFEST_NAME not in names:
        raise UsageError(
            f"The data set '{found.name}' was not prepared by facegen: there is no '{MANIFEST_NAME}'.",
            hint=f"Prepare it: facegen prepare hub {found.name} --out OUT",
        )


@contextmanager
def _work(out: Path) -> Generator[Path]:
    """The folder in which `out` comes together, for this process alone; gone when it is done."""
    folder = out.absolute().with_name(f".{out.absolute().name}{WORK_SUFFIX}")
    with storage_errors(out):
        (folder / "pulled").mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder / "lock").acquire(blocking=False)
        except Timeout as error:
            raise UsageError(f"Another facegen fetches '{out}' at this moment.") from error
        with lock:
            yield folder / "pulled"
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(found: _Found, folder: Path, progress: Progress) -> None:
    """Bring every file into the folder, and take out what is of another state of the repository."""
    size = sum(file.size or 0 for file in found.files.values())
    title = f"Fetching {size / 1e6:,.1f} MB of '{found.name}'"

    def fetch(file: RepoSibling) -> None:
        fetch_file(found.name, found.commit, file, found.kind, folder)
        task.advance()

    with (
        progress.stage(title, len(found.files)) as task,
        quiet_hub(),
        ThreadPoolExecutor(NUM_THREADS) as pool,
    ):
        list(pool.map(fetch, found.files.values()))
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    for path in [one for one in folder.rglob("*") if one.is_file()]:
        if path.relative_to(folder).as_posix() not in found.files:
            path.unlink()


def _check_whole(kind: RepoType, folder: Path) -> None:
    """What is there is a run or a data set, byte for byte as it was."""
    if kind == "dataset":
        check_files(Dataset.open(folder))
        return
    RunDirectory(folder).recipe_data()
    for checkpoint in list_checkpoints(folder):
        load_checkpoint(checkpoint).verify()
