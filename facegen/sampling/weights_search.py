"""Finding the checkpoint an image was made with, by the sha256 of its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from facegen.errors import MissingModelError, StorageError
from facegen.formats.box import opened_box
from facegen.formats.checkpoint import load_checkpoint, resolve_checkpoint
from facegen.formats.checkpoint_head import INFO_FILE, list_checkpoints
from facegen.formats.ema_snapshots import list_averages
from facegen.formats.far_store import is_far, spelled
from facegen.sampling.png_settings import ImageSettings

RUNS_FOLDER = "runs"
ANCESTORS = 4  # folders above an image in which runs are looked for: RUNS/../samples/0001/image.png


def find_checkpoint(settings: ImageSettings, image: Path, run: Path | None = None) -> Path:
    """The checkpoint folder whose weights the image was made with; of `run`, if given, otherwise its best.

    Without `run` the run that the settings name is tried, from the current folder and from those above the
    image, then every run in `runs` and beside the image, then the model in the box. Only the small
    `checkpoint.json` is read, which holds the sha256 of the weights.

    Raises:
        MissingModelError: no checkpoint in `run`, or the weights are nowhere.
    """
    if run is not None:
        return checkpoint_of(run, settings) or resolve_checkpoint(run)
    named = list(_named(settings, image))
    for folder in (*named, *_around(image)):
        found = checkpoint_of(folder, settings)
        if found is not None:
            return found
    raise MissingModelError(_not_found(settings, image, [folder for folder in named if folder.is_dir()]))


def checkpoint_of(folder: Path, settings: ImageSettings) -> Path | None:
    """The checkpoint with the image's weights in a run, or the checkpoint `folder` itself, if it has them."""
    inside = [*list_checkpoints(folder), *list_averages(folder)]
    if (folder / INFO_FILE).is_file():
        inside = [folder]
    for checkpoint in sorted(inside, key=lambda path: path.name, reverse=True):
        with suppress(OSError, StorageError, UnicodeDecodeError):
            # A recipe and the labels are long; most files are dismissed without parsing them.
            if settings.model_sha256 not in (checkpoint / INFO_FILE).read_text(encoding="utf-8"):
                continue
            files = load_checkpoint(checkpoint).info.files
            averaged = settings.weights == "ema" and "ema.safetensors" in files
            if files.get("ema.safetensors" if averaged else "model.safetensors") == settings.model_sha256:
                return checkpoint
    return None


def _named(settings: ImageSettings, image: Path) -> Iterator[Path]:
    """Where the run that the settings name may be; an absolute one is itself everywhere."""
    if settings.run is not None and not is_far(settings.run):  # a picture sends nobody to far stores
        yield from dict.fromkeys(base / settings.run for base in (Path(), *_above(image)))


def _above(image: Path) -> list[Path]:
    return list(image.resolve().parents)[:ANCESTORS]


def _around(image: Path) -> Iterator[Path]:
    """Folders in `runs`, in the current folder, and in those above the image; at last the box's model."""
    for base in dict.fromkeys([Path.cwd(), *_above(image)]):
        for place in (base / RUNS_FOLDER, base):
            with suppress(OSError), os.scandir(place) as entries:
                names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
                yield from (place / name for name in names)
    with suppress(StorageError):
        yield opened_box()


def _not_found(settings: ImageSettings, image: Path, altered: list[Path]) -> str:
    step = "" if settings.step is None else f", step {settings.step}"
    sought = f"weights with sha256 {settings.model_sha256[:12]}...{step}"
    if altered:
        reason = f"'{altered[0]}', which the image names, has no checkpoint with its {sought}"
    elif settings.run is not None and is_far(settings.run):
        far = spelled(settings.run)
        reason = f"'{far}', which the image names, is asked if you name it, and no run here has its {sought}"
    elif settings.run is not None:
        reason = f"'{settings.run}', which the image names, is not there, and no other run has its {sought}"
    else:
        reason = f"No run has the image's {sought}"
    return (
        f"{reason}. Looked into the folders in '{RUNS_FOLDER}', here and above the image.\n"
        f"Name the run: facegen reproduce {image} --run RUN (other weights are compared, too, and told.)"
    )
