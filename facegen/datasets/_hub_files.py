"""Parquet files of a data set: in a local folder, in a repository of the hub, or in the hub's cache.

A file of the hub is fetched whole into the hub's own cache, compared with the checksum the hub gives, and
only then opened. What is cached is not fetched again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from facegen.datasets._sources import list_folder
from facegen.errors import DataError, FacegenError, MissingModelError, StorageError
from facegen.formats.files import storage_errors

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
CONVERTED = "refs/convert/parquet"  # where the hub keeps its own parquet copy of data sets in other formats
ANSWER_TIMEOUT_SECONDS = 5.0
DOWNLOAD_ATTEMPTS = 3
_CARD = "README.md"
_SUFFIX = ".parquet"
_CHUNK_BYTES = 1 << 20
_NUMBERED = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})\.parquet")


@dataclass(frozen=True)
class SourceFile:
    """One parquet file: its name with `/`, its size where known, and how to get it onto this disk."""

    name: str
    fetch: Callable[[], Path]
    size_bytes: int = 0


@dataclass(frozen=True)
class ParquetSet:
    """The parquet files of a source. `card` is the head of its README.md; `commit` None for a folder."""

    title: str
    files: tuple[SourceFile, ...]
    card: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    from_cache: bool = False  # the hub gave no answer: what its cache holds is all there is


def is_hub_name(source: Path) -> bool:
    """Whether `source` means ORG/NAME on the hub: it looks like that, and nothing local has that name."""
    return not source.exists() and HUB_NAME.fullmatch(source.as_posix()) is not None


def open_folder(source: Path) -> ParquetSet:
    """The parquet files of a folder, or a single one.

    Raises:
        DataError: there are none.
    """
    if source.is_file() and source.suffix == _SUFFIX:
        return ParquetSet(source.name, (SourceFile(source.name, lambda: source),))
    if not source.is_dir():
        raise DataError(f"'{source}' is neither a folder with parquet files nor one.")
    tree = list_folder(source)
    names = [name for name in tree.files if name.endswith(_SUFFIX)]
    if not names:
        raise DataError(
            f"No parquet files in '{source}'; {len(tree.files)} others.",
            hint=f"For a folder of images: facegen prepare image-folder {source} --out DIR",
        )
    files = tuple(SourceFile(name, partial(Path, source / name)) for name in names)
    return ParquetSet(source.name, files, read_card(source / _CARD))


def open_hub(repo: str, revision: str | None) -> ParquetSet:
    """List the parquet files of a data set on the hub; from the cache where the hub does not answer.

    Raises:
        MissingModelError: no such data set or revision, access refused, or no answer and nothing cached.
        DataError: it holds no parquet files and the hub made none.
    """
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    on_hub: Listing = {}
    try:
        commit, names = own, on_hub = _listing(repo, revision)
        if revision is None and not _parquet_names(names):
            commit, names = _listing(repo, CONVERTED)
    except FacegenError:  # a signal's
        raise
    except RepositoryNotFoundError as error:
        raise _refused(repo, error) from error
    except RevisionNotFoundError as error:
        if revision is None:
            raise _no_parquet(repo, list(on_hub)) from error
        raise MissingModelError(f"The data set '{repo}' has no revision '{revision}'.") from error
    except Exception as error:  # the hub client raises its own, the HTTP library's and the system's errors
        told = "did not answer"
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            told = f"answered with status {error.response.status_code}"
        return _open_cached(repo, revision, f"{told} ({type(error).__name__})", error)
    if not _parquet_names(names):
        raise _no_parquet(repo, list(on_hub))
    files = tuple(
        SourceFile(name, partial(_fetch, repo, commit, name, names[name][1]), names[name][0])
        for name in _parquet_names(names)
    )
    card = read_card(_fetch(repo, own, _CARD, on_hub[_CARD][1])) if _CARD in on_hub else {}
    return ParquetSet(repo, files, card, commit)


def read_card(path: Path) -> dict[str, Any]:
    """The YAML head of a README.md, or an empty mapping where there is none that can be read."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.S)
    try:
        card = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


Listing = dict[str, tuple[int, str | None]]  # name -> size in bytes, checksum


def _listing(repo: str, revision: str | None) -> tuple[str, Listing]:
    from huggingface_hub import HfApi, constants

    info = HfApi(endpoint=constants.ENDPOINT).dataset_info(
        repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_SECONDS
    )
    if info.sha is None:
        raise DataError(f"The hub's answer about '{repo}' names no commit.")
    return info.sha, {
        file.rfilename: (file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id)
        for file in info.siblings or ()
    }


def _parquet_names(names: Listing) -> list[str]:
    return sorted(name for name in names if name.endswith(_SUFFIX))


def _fetch(repo: str, commit: str, name: str, checksum: str | None) -> Path:
    """The file's place in the hub's cache, its bytes compared with `checksum`."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    trouble: Exception | str = ""
    for _ in range(DOWNLOAD_ATTEMPTS):
        try:
            with storage_errors(Path(constants.HF_HUB_CACHE)), _quiet_hub():
                path = Path(
                    hf_hub_download(
                        repo,
                        name,
                        repo_type="dataset",
                        revision=commit,
                        endpoint=constants.ENDPOINT,
                        etag_timeout=ANSWER_TIMEOUT_SECONDS,
                    )
                )
        except FacegenError:
            raise
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise _cut_off(repo, name, error) from error
        except OSError as error:  # fewer or more bytes than announced
            trouble = error
            continue
        except Exception as error:  # the HTTP library's, after the hub client's own attempts
            raise _cut_off(repo, name, error) from error
        if _matches(path, checksum):
            return path
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        trouble = "its checksum is not the one the hub names"
    raise StorageError(
        f"'{name}' of '{repo}' was damaged on its way {DOWNLOAD_ATTEMPTS} times: {trouble}.",
        hint="Nothing of it was kept. The same command fetches it again; behind a proxy or mirror, see "
        "whether that one alters files.",
    )


def _matches(path: Path, checksum: str | None) -> bool:
    """Compare with a sha256 (large files) or git's blob id (small ones); the cache's name is one of them."""
    expected = checksum or path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == expected


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the hub client's own bars: progress is facegen's to tell."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _open_cached(repo: str, revision: str | None, told: str, error: Exception) -> ParquetSet:
    """What the hub's cache holds of a data set, if that is whole as far as its file names tell."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    place = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="dataset")
    commit = _cached_commit(place, revision)
    snapshot = place / "snapshots" / (commit or "")
    names = (
        sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.parquet"))
        if commit
        else []
    )
    if commit is None or not names or (gaps := _gaps(names)):
        if names:
            told += f"; {', '.join(gaps[:3])} {'are' if len(gaps) > 1 else 'is'} not cached"
        raise _missing(repo, f"is not on this machine as a whole, and the hub {told}") from error
    files = tuple(
        SourceFile(name, partial(_cached, snapshot / name), (snapshot / name).stat().st_size)
        for name in names
    )
    return ParquetSet(repo, files, read_card(snapshot / _CARD), commit, from_cache=True)


def _cached_commit(place: Path, revision: str | None) -> str | None:
    if revision and (place / "snapshots" / revision).is_dir():
        return revision
    for name in (revision,) if revision else ("main", CONVERTED):
        if (place / "refs" / name).is_file():
            return (place / "refs" / name).read_text().strip()
    snapshots = [path.name for path in (place / "snapshots").glob("*")]
    return snapshots[0] if len(snapshots) == 1 and revision is None else None


def _cached(path: Path) -> Path:
    if not _matches(path, None):
        raise StorageError(f"'{path}' in the hub's cache is damaged.", hint=f"Delete it: rm {path.resolve()}")
    return path


def _gaps(names: list[str]) -> list[str]:
    """Files that "-00000-of-00003" promises and that are not there."""
    there, promised = set(names), set()
    for name in names:
        if found := _NUMBERED.fullmatch(name):
            stem, digits, total = found[1], len(found[2]), found[3]
            promised |= {f"{stem}-{index:0{digits}}-of-{total}{_SUFFIX}" for index in range(int(total))}
    return sorted(promised - there)


def _missing(repo: str, what: str) -> MissingModelError:
    return MissingModelError(
        f"The data set '{repo}' {what}. (There is no local folder of that name either.)",
        hint=f"With a network: hf download {repo} --repo-type dataset\n"
        "Without: copy its parquet files here and give their folder: "
        "facegen prepare hub FOLDER --out DIR",
    )


def _refused(repo: str, error: Exception) -> MissingModelError:
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return MissingModelError(
            f"The data set '{repo}' asks for its conditions to be accepted first.",
            hint=f"Accept them at https://huggingface.co/datasets/{repo}, then: hf auth login",
        )
    return _missing(repo, "is not on the hub, or is private (hf auth login)")


def _no_parquet(repo: str, names: list[str]) -> DataError:
    return DataError(
        f"The data set '{repo}' has no parquet files, and the hub made none of its {len(names)} files.",
        hint=f"Download it: hf download {repo} --repo-type dataset --local-dir FOLDER\n"
        "Then read it as what it is: facegen prepare image-folder FOLDER --out DIR",
    )


def _cut_off(repo: str, name: str, error: Exception) -> MissingModelError:
    return MissingModelError(
        f"'{name}' of '{repo}' could not be fetched ({type(error).__name__}: {error}).",
        hint="The same command goes on with the files that are still missing.",
    )
