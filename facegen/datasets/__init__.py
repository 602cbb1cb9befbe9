"""Sources of faces: each kind reads one layout into records. `recognise` says which kind a source is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath

from facegen.config.kinds import kinds_of, load_kind, spelt
from facegen.datasets._sources import open_source
from facegen.errors import DataError
from facegen.types import Recognition

FAMILY = "datasets"


def write_some(source: Path, count: int, folder: Path) -> Path:
    """Up to `count` images of a folder or archive, chosen evenly, as files of a new `folder`."""
    tree = open_source(source, "image-folder")
    folder.mkdir(parents=True)
    step = max(1.0, len(tree.images) / count)
    for number in range(min(count, len(tree.images))):
        name = tree.images[int(number * step)]
        suffix = PurePosixPath(name).suffix
        (folder / f"{number:06d}{suffix}").write_bytes(tree.files[name].load())
    return folder


def recognise(source: Path) -> tuple[str, Recognition]:
    """The kind that the folder or archive `source` looks most like. A kind that can be recognised by its
    files has a function `recognise(tree)`, which gives a `Recognition` or None.

    Raises:
        DataError: it does not exist, or nothing there is a data set of faces.
    """
    tree = open_source(source, "image-folder")
    seen: dict[str, Recognition] = {}
    for kind in kinds_of(FAMILY):
        looks_like = getattr(load_kind(FAMILY, kind), "recognise", None)
        with suppress(DataError):  # of another kind's layout
            if looks_like is not None and (found := looks_like(tree)) is not None:
                seen[kind] = found
    if not seen:
        raise DataError(
            f"Nothing in '{source}' looks like faces: {len(tree.files):,} files, no image among them.",
            hint="Give a folder or archive of images, or a folder of parquet files.",
        )
    best = max(seen, key=lambda kind: seen[kind].certainty)
    return spelt(FAMILY, best), seen[best]
