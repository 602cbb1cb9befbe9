"""Files of a repository on the hub, fetched whole and compared with the checksum that the hub gives."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facegen.errors import FacegenError, MissingModelError, StorageError
from facegen.formats.files import sha256_of, storage_errors

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

ANSWER_TIMEOUT_SECONDS = 5.0
DOWNLOAD_ATTEMPTS = 3

RepoType = Literal["model", "dataset"]


def fetch_file(
    repo: str,
    commit: str | None,
    file: RepoSibling,
    repo_type: RepoType = "dataset",
    folder: Path | None = None,
) -> Path:
    """The file's place in the hub's cache, or in `folder`; what is there whole is not fetched again.

    Raises:
        MissingModelError: it could not be fetched.
        StorageError: it was damaged on its way each time, or the disk is full or may not be written.
    """
    from huggingface_hub import (
        constants,
        hf_hub_download,  # pyright: ignore[reportUnknownVariableType]
    )
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    checksum = file.lfs.sha256 if file.lfs else file.blob_id
    download = partial(
        hf_hub_download, repo, file.rfilename, repo_type=repo_type, revision=commit, local_dir=folder
    )
    trouble: Exception | str = ""
    for _ in range(DOWNLOAD_ATTEMPTS):
        try:
            with storage_errors(folder or Path(constants.HF_HUB_CACHE)), quiet_hub():
                path = Path(download(etag_timeout=ANSWER_TIMEOUT_SECONDS))
        except FacegenError:
            raise
        except Exception as error:
            damaged = isinstance(error, OSError)  # fewer or more bytes than announced
            if damaged and not isinstance(error, HfHubHTTPError | LocalEntryNotFoundError):
                trouble = error
                continue
            raise MissingModelError(  # after the hub client's own attempts
                f"'{file.rfilename}' of '{repo}' could not be fetched ({type(error).__name__}: {error}).",
                hint="The same command goes on with the files that are still missing.",
            ) from error
        if is_whole(path, checksum):
            return path
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        trouble = "its checksum is not the one the hub names"
    raise StorageError(
        f"'{file.rfilename}' of '{repo}' was damaged on its way {DOWNLOAD_ATTEMPTS} times: {trouble}.",
        hint="Nothing of it was kept. The same command fetches it again; behind a proxy or mirror, see "
        "whether that one alters files.",
    )


def is_whole(path: Path, checksum: str | None) -> bool:
    """Compare with a sha256 (large files) or git's blob id (small ones); the cache's name is one of them."""
    from huggingface_hub.utils.sha import git_hash

    expected = checksum or path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        return sha256_of(path) == expected
    return not re.fullmatch(r"[0-9a-f]{40}", expected) or git_hash(path.read_bytes()) == expected


@contextmanager
def quiet_hub() -> Generator[None]:
    """Without the hub client's own bars: progress is facegen's to tell."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()
