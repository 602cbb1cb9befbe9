"""Parquet files of a data set: in a local folder, in a repository of the hub, or in the hub's cache.

Which of them belong together is what the README's `configs` or their names say: subsets, and in them splits.

A file of the hub is fetched whole into the hub's own cache, compared with the checksum the hub gives, and
only then opened. What is cached is not fetched again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facegen.config.documents import parse_yaml
from facegen.datasets._layouts import SPLIT_FOLDERS
from facegen.datasets._sources import list_folder
from facegen.errors import DataError, FacegenError, MissingModelError, StorageError, UsageError, did_you_mean
from facegen.formats.hub_files import ANSWER_TIMEOUT_SECONDS, fetch_file, is_whole

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, RepoSibling

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
CONVERTED = "refs/convert/parquet"  # where the hub keeps its own parquet copy of data sets in other formats
DEFAULT_SUBSET = "default"
_STORAGE_FOLDERS = ("data", "parquet")
_CARD = "README.md"
_CARD_HEAD = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", re.S)
_MOST_FILES = 100_000  # of one data set
_NUMBERED = re.compile(r"^(.*)-(\d{5,})-of-(\d{5,})\.parquet$", re.M)


@dataclass(frozen=True)
class ParquetSet:
    """The parquet files of a source. `sizes` is name (with `/`) -> bytes, 0 where unknown; `fetch` brings one
    onto this disk. `card` is the head of its README.md; `commit` None for a folder."""

    title: str
    sizes: Mapping[str, int]
    fetch: Callable[[str], Path]
    card: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    from_cache: bool = False  # the hub gave no answer: what its cache holds is all there is


Parts = dict[str, str | None]
"""File name -> the split that it or the README says it belongs to; None where neither does."""


def open_folder(source: Path) -> ParquetSet:
    """The parquet files of a folder, or a single one.

    Raises:
        DataError: there are none.
    """
    if source.is_file() and source.suffix == ".parquet":
        return ParquetSet(source.name, {source.name: 0}, source.parent.joinpath)
    if not source.is_dir():
        raise DataError(f"'{source}' is neither a folder with parquet files nor one.")
    files = list_folder(source).files
    names = [name for name in files if name.endswith(".parquet")]
    if not names:
        raise DataError(
            f"No parquet files in '{source}'; {len(files)} others.",
            hint=f"For a folder of images: facegen prepare image-folder {source} --out DIR",
        )
    return ParquetSet(source.name, dict.fromkeys(names, 0), source.joinpath, read_card(source / _CARD))


def open_hub(repo: str, revision: str | None) -> ParquetSet:
    """List the parquet files of a data set on the hub; from the cache where the hub does not answer.

    Raises:
        MissingModelError: no such data set or revision, access refused, or no answer and nothing cached.
        DataError: it holds no parquet files and the hub made none.
    """
    from huggingface_hub import HfApi, errors

    ask = partial(HfApi().dataset_info, repo, files_metadata=True, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        info = own = ask(revision=revision)
        if revision is None and not _parquet_files(own):
            with suppress(errors.RevisionNotFoundError):  # the hub made no copy
                info = ask(revision=CONVERTED)
    except FacegenError:  # a signal's
        raise
    except errors.GatedRepoError as error:
        raise MissingModelError(
            f"The data set '{repo}' asks for its conditions to be accepted first.",
            hint=f"Accept them at https://huggingface.co/datasets/{repo}, then: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise _missing(repo, "is not on the hub, or is private (hf auth login)") from error
    except errors.RevisionNotFoundError as error:
        raise MissingModelError(f"The data set '{repo}' has no revision '{revision}'.") from error
    except Exception as error:  # the hub client raises its own, the HTTP library's and the system's errors
        status = getattr(getattr(error, "response", None), "status_code", None)
        told = f"answered with status {status}" if status else "did not answer"
        return _open_cached(repo, revision, f"{told} ({type(error).__name__})", error)
    files = _parquet_files(info)
    if not files:
        raise DataError(
            f"The data set '{repo}' has no parquet files, and the hub made none of its "
            f"{len(own.siblings or ())} files.",
            hint=f"Download it: hf download {repo} --repo-type dataset --local-dir FOLDER\n"
            "Then read it as what it is: facegen prepare image-folder FOLDER --out DIR",
        )
    readme = next((file for file in own.siblings or () if file.rfilename == _CARD), None)
    card = read_card(fetch_file(repo, own.sha, readme)) if readme else {}
    sizes = {name: file.size or 0 for name, file in sorted(files.items())}
    return ParquetSet(repo, sizes, lambda name: fetch_file(repo, info.sha, files[name]), card, info.sha)


def choose_files(source: ParquetSet, subset: str | None) -> Parts:
    """The files of one subset, by name. A single split is no partition, so that it counts as none.

    Raises:
        UsageError: several subsets and none asked for, or an unknown one.
    """
    configs = source.card.get("configs")
    configs = [one for one in configs if isinstance(one, Mapping)] if isinstance(configs, list) else []
    subsets = _described_subsets(source.sizes, configs) or _subsets_by_folder(source.sizes)
    marked = [str(config.get("config_name")) for config in configs if config.get("default")]
    usual = [name for name in (*marked, DEFAULT_SUBSET, *subsets) if name in subsets]
    name = usual[0] if subset is None else subset
    if subset is None and len(usual) == len(subsets) > 1:  # none of them stands out
        raise UsageError(
            f"'{source.title}' has {len(subsets)} subsets: {', '.join(subsets)}.",
            hint=f"Choose one with --subset, such as --subset {name}.",
        )
    if name not in subsets:
        raise UsageError(
            f"'{source.title}' has no subset '{name}'.{did_you_mean(name, subsets)}",
            hint=f"Its subsets: {', '.join(subsets)}.",
        )
    parts = subsets[name]
    return parts if len(set(parts.values())) > 1 else dict.fromkeys(parts)


def in_turns(parts: Parts) -> list[str]:
    """The files in the order to fetch them when few images are wanted.

    Every split's first file comes first; after that, the splits progress evenly through their files.
    """
    by_split: dict[str | None, list[str]] = defaultdict(list)
    for name, split in parts.items():
        by_split[split].append(name)
    rank = {
        name: position and (position + 0.5) / len(names)
        for names in by_split.values()
        for position, name in enumerate(names)
    }
    return sorted(parts, key=rank.__getitem__)


def split_of(name: str) -> str | None:
    """The split a file name speaks of: "data/train-00000-of-00002.parquet", "default/test/0000.parquet"."""
    path = PurePosixPath(name)
    places = (path.stem, *reversed(path.parts[:-1]))
    said = (word for place in places for word in re.split(r"[^a-z]+", place.casefold()))
    return next((SPLIT_FOLDERS[word] for word in said if word in SPLIT_FOLDERS), None)


def read_card(path: Path) -> dict[str, Any]:
    """The YAML head of a README.md, or an empty mapping where there is none that can be read."""
    try:
        found = _CARD_HEAD.match(path.read_text("utf-8-sig"))
        head = parse_yaml(found[1]) if found else {}
    except (OSError, ValueError):
        return {}
    return head if isinstance(head, dict) else {}


def _parquet_files(info: DatasetInfo) -> dict[str, RepoSibling]:
    if info.sha is None:
        raise DataError(f"The hub's answer about '{info.id}' names no commit.")
    return {file.rfilename: file for file in info.siblings or () if file.rfilename.endswith(".parquet")}


def _open_cached(repo: str, revision: str | None, told: str, error: Exception) -> ParquetSet:
    """What the hub's cache holds of a data set, if that is whole as far as its file names tell."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    place = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="dataset")
    snapshot = _cached_snapshot(place, revision)
    sizes = {
        path.relative_to(snapshot).as_posix(): path.stat().st_size for path in snapshot.rglob("*.parquet")
    }
    gaps = _gaps(sizes)
    if gaps:
        told += f"; {', '.join(gaps[:3])} {'are' if len(gaps) > 1 else 'is'} not cached"
    if gaps or not sizes:
        raise _missing(repo, f"is not on this machine as a whole, and the hub {told}") from error
    card, fetch = read_card(snapshot / _CARD), partial(_cached, snapshot)
    return ParquetSet(repo, dict(sorted(sizes.items())), fetch, card, snapshot.name, from_cache=True)


def _cached_snapshot(place: Path, revision: str | None) -> Path:
    """The folder of a commit or branch in the cache, else the only one there is; it may not exist."""
    snapshots = place / "snapshots"
    if revision and (snapshots / revision).is_dir():
        return snapshots / revision
    for name in (revision,) if revision else ("main", CONVERTED):
        if (place / "refs" / name).is_file():
            return snapshots / (place / "refs" / name).read_text().strip()
    there = list(snapshots.glob("*"))
    return there[0] if len(there) == 1 and revision is None else snapshots / (revision or "main")


def _cached(snapshot: Path, name: str) -> Path:
    path = snapshot / name
    if not is_whole(path, None):
        raise StorageError(f"'{path}' in the hub's cache is damaged.", hint=f"Delete it: rm {path.resolve()}")
    return path


def _gaps(names: Collection[str]) -> list[str]:
    """Files that "-00000-of-00003" promises and that are not there."""
    promised = {
        f"{stem}-{index:0{len(number)}}-of-{total}.parquet"
        for stem, number, total in _NUMBERED.findall("\n".join(names))
        for index in range(min(int(total), _MOST_FILES))
    }
    return sorted(promised - set(names))


def _missing(repo: str, what: str) -> MissingModelError:
    return MissingModelError(
        f"The data set '{repo}' {what}. (There is no local folder of that name either.)",
        hint=f"With a network: hf download {repo} --repo-type dataset\n"
        "Without: copy its parquet files here and give their folder: "
        "facegen prepare hub FOLDER --out DIR",
    )


def _described_subsets(names: Iterable[str], configs: list[Mapping[str, Any]]) -> dict[str, Parts]:
    """Subsets as the README's `configs` lists them; those without parquet files are left out."""
    found: dict[str, Parts] = {}
    for config in configs:
        parts: Parts = {}
        for name in names:
            splits = [split for split, glob in _patterns(config.get("data_files")) if _fits(name, glob)]
            if splits:
                parts[name] = SPLIT_FOLDERS.get(splits[0].casefold()) if splits[0] else split_of(name)
        if parts:
            found[str(config.get("config_name", DEFAULT_SUBSET))] = parts
    return found


def _patterns(data_files: Any) -> Iterator[tuple[str, str]]:
    """(split or "", glob) pairs of `data_files`: a glob, a list of globs, or a list of {split, path}."""
    for entry in data_files if isinstance(data_files, list) else [data_files]:
        described = entry if isinstance(entry, Mapping) else {"path": entry}
        paths = described.get("path")
        for path in paths if isinstance(paths, list) else [paths]:
            if path is not None:
                yield str(described.get("split") or ""), str(path)


def _fits(name: str, glob: str) -> bool:
    glob = glob.removeprefix("./")
    return fnmatchcase(name, glob) or fnmatchcase(name, glob.replace("**/", ""))


def _subsets_by_folder(names: Iterable[str]) -> dict[str, Parts]:
    """Subsets by top folder, as the hub's own parquet copies are laid out: SUBSET/SPLIT/0000.parquet."""
    found: dict[str, Parts] = defaultdict(dict)
    for name in names:
        top = name.split("/")[0] if "/" in name else DEFAULT_SUBSET
        if top in _STORAGE_FOLDERS or split_of(f"{top}.parquet"):
            top = DEFAULT_SUBSET
        found[top][name] = split_of(name)
    return found
