"""The model in the box: a run of rendered avatars that comes with the package and answers to the name `box`.

    facegen/box/
      recipe.yaml, environment.json, metrics.jsonl, evaluations/     its training, and how it was judged
      checkpoints/step-N/ema.safetensors, autoencoder/               its weights, in half precision
      box.json                                                       the sha256 of each file; how it was made

It is used from a copy in the user's cache, beside which evaluations can be written; where there is no room
for one, as it lies in the package.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from facegen.caches import user_cache
from facegen.errors import DataError, StorageError
from facegen.formats.files import atomic_write, read_json, sha256_of

BOX = "box"
BOX_FILE = "box.json"
FORMAT_VERSION = 1
MADE_AGAIN = (
    "Install facegen again (pip install --force-reinstall --no-deps facegen), or make it again from a "
    "checkout: python examples/box.py OUT --into facegen/box"
)


def is_box(path: Path | str) -> bool:
    """Whether `path` means the model in the box: that name, and no file or folder of it here."""
    return str(path) == BOX and not Path(path).exists()


def packed_box() -> Path:
    """The folder in the package."""
    return Path(str(files("facegen") / BOX))


def opened_box() -> Path:
    """A run folder with the model in the box, whole.

    Raises:
        StorageError: the package came without it, or a file of it is damaged.
    """
    source = packed_box()
    sums = box_facts()["files"]
    target = _cached() / sha256_of(source / BOX_FILE)[:12] / BOX
    for name, expected in sums.items():
        try:
            if _is_whole(target / name, expected):
                continue
            if not _is_whole(source / name, expected):
                raise _damaged(f"'{source / name}' is missing or damaged")
            _copy(source / name, target / name)
        except OSError:  # no room, or not allowed: it can be read where it is
            return source
    return target


def box_facts() -> dict[str, Any]:
    """What `box.json` tells: `files`, their sha256; `made`, how.

    Raises:
        StorageError: it is missing or unreadable.
    """
    try:
        return read_json(packed_box() / BOX_FILE, FORMAT_VERSION)
    except DataError as error:
        raise _damaged(str(error)) from error


def named_in_box(path: Path) -> str | None:
    """The short name of something in the box's copy, `box/checkpoints/...`; None of anything else."""
    absolute = path.absolute()
    if _cached() in absolute.parents and len(parts := absolute.relative_to(_cached()).parts) > 1:
        return "/".join(parts[1:])
    return None


def told_of_box(message: str) -> str:
    """A message in which the box's copy is called by its short name."""
    return re.sub(rf"{re.escape(str(_cached()))}/[0-9a-f]+/{BOX}\b", BOX, message)


def _cached() -> Path:
    return user_cache().absolute() / BOX


def _copy(source: Path, target: Path) -> None:
    try:
        atomic_write(target, source.read_bytes())
    except StorageError as error:
        raise OSError(str(error)) from error


def _is_whole(path: Path, expected: str) -> bool:
    return path.is_file() and sha256_of(path) == expected


def _damaged(what: str) -> StorageError:
    return StorageError(f"The model in the box cannot be used: {what}.", hint=MADE_AGAIN)
