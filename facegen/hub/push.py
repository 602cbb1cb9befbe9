"""`facegen push`: a run or a data set becomes a repository on the hub, whole in one commit or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen import __version__
from facegen.caches import user_cache
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import CHECKPOINTS, INFO_FILE
from facegen.formats.dataset import MANIFEST_NAME
from facegen.formats.far import near
from facegen.formats.files import atomic_write
from facegen.formats.hub_files import RepoType, fetch_file, quiet_hub
from facegen.formats.plain import plain
from facegen.formats.run import RECIPE_FILE
from facegen.hub.dataset_package import MARK as DATASET_MARK
from facegen.hub.dataset_package import dataset_package
from facegen.hub.options import PushOptions
from facegen.hub.package import CARD, Package
from facegen.hub.repository import asking, check_online, check_token, checked_name
from facegen.hub.run_package import run_package
from facegen.hub.secrets import check_clean
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.report.facts import EVALUATIONS
from facegen.report.model_card import MARK

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.hf_api import RepoSibling

FILES_AT_ONCE = 8  # between two looks at how far it has come
OUR_FOLDERS = tuple(f"{name}/" for name in (CHECKPOINTS, EVALUATIONS, "samples", "data"))
OF_ANYBODY = (".gitattributes", CARD)  # in a repository that was just made


@dataclass(frozen=True)
class PushSummary:
    """What was sent, or with `dry_run` would be: bytes of each file by its name there. `written` is where
    the files lie that were made for it, to be read; None where they were sent. `left_out` says of what
    stays here why."""

    repository: str
    repo_type: RepoType
    files: Mapping[str, int]
    left_out: Mapping[str, str]
    private: bool
    dry_run: bool = False
    written: Path | None = None
    address: str | None = None
    commit: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**plain(self), "size_bytes": self.size_bytes}


def push(
    path: Path | str, repository: str, options: PushOptions | None = None, progress: Progress | None = None
) -> PushSummary:
    """Send the run, checkpoint or data set at `path` to the hub's `repository`, "OWNER/NAME", with its card.

    The repository is made where it is not there. Files that have come are not sent again; until the one
    commit at the end nothing of them shows. What of an earlier push is no longer in the folder goes with it.

    Raises:
        UsageError: no such name; neither run nor data set; something else is in the repository; the data's
            terms do not let it be public.
        DataError: a file tells of tokens or of this machine, or the hub does not take it.
        MissingModelError: no token, no access, no answer.
        StorageError: a file is missing or altered.
    """
    options, progress = options or PushOptions(), progress or SilentProgress()
    checked_name(repository)
    with progress.stage("Reading what is sent"):
        package = package_of(near(path), repository, options)
        check_clean(package.files, repository)
    summary = PushSummary(
        repository=repository,
        repo_type=package.repo_type,
        files={name: package.size_bytes(name) for name in package.files},
        left_out=package.left_out,
        private=options.private,
        dry_run=options.dry_run,
        notes=tuple(_notes(package, options)),
    )
    if options.dry_run:
        return replace(summary, written=_written(package, repository))
    if package.for_few is not None and not options.private:
        raise _for_few(repository, package.for_few, "")
    check_online()
    check_token()
    with asking(repository, "push"), quiet_hub():
        return _sent(package, summary, progress)


def package_of(path: Path, repository: str, options: PushOptions) -> Package:
    """What is sent of a folder.

    Raises:
        UsageError: it is neither a run or checkpoint nor a data set.
        FacegenError: as its kind of package does.
    """
    if (path / MANIFEST_NAME).is_file():
        return dataset_package(path, repository, options)
    if (path / RECIPE_FILE).is_file() or (path / INFO_FILE).is_file():
        return run_package(path, repository, options)
    what = "is no folder" if not path.is_dir() else "is neither a run nor a data set"
    raise UsageError(
        f"'{path}' {what}: there is no '{RECIPE_FILE}' and no '{MANIFEST_NAME}' in it.",
        hint="Give a run, a data set, or 'box'. A folder of another kind, such as "
        f"one of 'facegen export': hf upload {repository} {path}",
    )


def _notes(package: Package, options: PushOptions) -> Iterator[str]:
    if package.for_few is not None and not options.private:
        yield f"Goes with --private alone: {package.for_few}."


def _written(package: Package, repository: str) -> Path:
    """The folder with the files made for the package, as they would be sent."""
    folder = user_cache() / "push" / repository.replace("/", "--")
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in package.files.items():
        if isinstance(content, bytes):
            atomic_write(folder / name, content)
    return folder


def _sent(package: Package, summary: PushSummary, progress: Progress) -> PushSummary:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    name, kind = summary.repository, package.repo_type
    api = HfApi(library_name="facegen", library_version=__version__)
    api.create_repo(name, repo_type=kind, private=summary.private or None, exist_ok=True)
    there: Any = api.repo_info(name, repo_type=kind, files_metadata=True)
    if package.for_few is not None and not there.private:
        raise _for_few(name, package.for_few, "is there and public, and ")
    siblings = {file.rfilename: file for file in there.siblings or ()}
    _check_ours(name, kind, siblings)
    files = dict(package.files)
    if own_card := _has_own_card(there, siblings, summary):
        del files[CARD]
    added = [
        CommitOperationAdd(file, content if isinstance(content, bytes) else str(content))
        for file, content in files.items()
    ]
    _upload(api, added, summary, progress)
    gone = [file for file in siblings if file.startswith(OUR_FOLDERS) and file not in files]
    done = api.create_commit(
        name,
        [*added, *(CommitOperationDelete(file) for file in gone)],
        commit_message=f"Pushed by facegen {__version__}",
        repo_type=kind,
        parent_commit=there.sha,
    )
    notes = ["The card there is not facegen's and was left alone."] if own_card else []
    notes += ["Everything was there already."] if done.oid == there.sha else []
    address = f"{api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
    return replace(
        summary, address=address, commit=done.oid, private=bool(there.private), notes=(*summary.notes, *notes)
    )


def _upload(api: HfApi, added: list[CommitOperationAdd], summary: PushSummary, progress: Progress) -> None:
    """Send the large files; they show when they are committed."""
    with progress.stage(f"Sending to '{summary.repository}'", len(added)) as task:
        for first in range(0, len(added), FILES_AT_ONCE):
            some = added[first : first + FILES_AT_ONCE]
            api.preupload_lfs_files(summary.repository, some, repo_type=summary.repo_type, free_memory=False)
            task.advance(len(some))


def _check_ours(name: str, kind: RepoType, siblings: Mapping[str, RepoSibling]) -> None:
    """Refuse to write among other things."""
    others = siblings.keys() - {*OF_ANYBODY}
    if others and (RECIPE_FILE if kind == "model" else MANIFEST_NAME) not in siblings:
        raise UsageError(
            f"'{name}' is there and holds something else: {len(others)} files, '{min(others)}' for one.",
            hint="Push under another name.",
        )


def _has_own_card(there: Any, siblings: Mapping[str, RepoSibling], summary: PushSummary) -> bool:
    """Whether somebody's own words stand on the card there: those stay."""
    if CARD not in siblings:
        return False
    card = fetch_file(summary.repository, there.sha, siblings[CARD], summary.repo_type)
    text = card.read_text(encoding="utf-8", errors="replace")
    return bool(text.strip()) and MARK not in text and DATASET_MARK not in text


def _for_few(repository: str, why: str, what: str) -> UsageError:
    return UsageError(
        f"'{repository}' {what}would be for everybody to see, and {why}.",
        hint="Keep it to yourself with --private; where you know the terms and the data do not tell: "
        "--licence cc-by-4.0",
    )
