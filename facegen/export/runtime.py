"""onnxruntime-web, which runs graphs in a browser: fetched once, kept in facegen's cache.

CACHE/onnxruntime-web-VERSION/
  ort.wasm.bundle.min.mjs       its JavaScript
  ort-wasm-simd-threaded.wasm   its kernels, which one thread runs

CACHE is `FACEGEN_CACHE`, otherwise `~/.cache/facegen`.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from filelock import FileLock

from facegen.caches import user_cache
from facegen.errors import DataError, MissingModelError
from facegen.formats.files import atomic_write, sha256_of, storage_errors
from facegen.models.download import download
from facegen.protocols import Progress

VERSION = "1.30.0"
NAME = f"onnxruntime-web-{VERSION}"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{NAME}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
SCRIPT, KERNELS = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FILES = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    KERNELS: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}


def onnxruntime_web(progress: Progress) -> dict[str, bytes]:
    """Its files by name, `FILES`.

    Raises:
        MissingModelError: neither in the cache nor to be had now; says where to put it by hand.
        DataError: what lies there is another file.
        StorageError: the disk is full or may not be written.
    """
    folder = user_cache().absolute() / NAME
    if not _is_there(folder):
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "lock"):
                if not _is_there(folder):  # another process may just have fetched it
                    _unpack(_archive(progress), folder)
    for name, sha256 in FILES.items():
        if (found := sha256_of(folder / name)) != sha256:
            raise DataError(
                f"'{folder / name}' is not the published file: its sha256 is {found}, not {sha256}.",
                hint=f"Remove the folder, and it is fetched again: {folder}",
            )
    return {name: (folder / name).read_bytes() for name in FILES}


def _is_there(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _archive(progress: Progress) -> Path:
    """The published archive in the cache, checked."""
    path = user_cache().absolute() / f"{NAME}.tgz"
    by_hand = f"With a connection, fetch it:\n  curl -L --create-dirs -o {path} {URL}"
    if not path.is_file():
        progress.say(f"Downloading onnxruntime-web (33 MB, once) from {URL}")
        try:
            download(URL, SHA256, path)
        except ConnectionError as error:
            raise MissingModelError(
                f"A page needs onnxruntime-web, which is neither in '{path.parent / NAME}' nor downloadable "
                f"now ({error}).",
                hint=by_hand,
            ) from error
        except ValueError as error:
            raise DataError(f"What {URL} gave is not the published file: {error}") from error
    elif (found := sha256_of(path)) != SHA256:
        raise DataError(
            f"'{path}' is not the published file: its sha256 is {found}, not {SHA256}.",
            hint=f"Remove it. {by_hand}",
        )
    return path


def _unpack(archive: Path, folder: Path) -> None:
    """Keep of the archive what a page needs."""
    with tarfile.open(archive) as packed:
        for name in FILES:
            file = packed.extractfile(f"package/dist/{name}")
            assert file is not None
            atomic_write(folder / name, file.read())
    archive.unlink()
