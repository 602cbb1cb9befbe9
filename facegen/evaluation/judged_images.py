"""What an evaluation judges: the images of a run, of a data set or of a folder, opened alike."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.evaluation.image_sources import FolderImages
from facegen.evaluation.options import Selection
from facegen.evaluation.score_rows import drawn_pairing
from facegen.evaluation.steps import Evaluation, asked_records, generator_facts
from facegen.formats.checkpoint_head import INFO_FILE, list_checkpoints
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far import named
from facegen.formats.images import read_png_text
from facegen.formats.run import RECIPE_FILE
from facegen.models.chosen_images import batches, chosen_indices
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.models.published_pipeline import INDEX_FILE
from facegen.protocols import Progress
from facegen.sampling.png_settings import SETTINGS_KEY
from facegen.sampling.records import (
    drawing_settings,
    generated_batches,
    requested_inputs,
)
from facegen.sampling.request import read_request

if TYPE_CHECKING:
    import pandas as pd

METADATA_FILE = "metadata.csv"  # Hugging Face's ImageFolder: file_name, and text or caption
FILE_COLUMNS = ("file_name", "file")
CAPTION_COLUMNS = ("caption", "text", "prompt")


@dataclass(frozen=True, kw_only=True)
class JudgedReport(Evaluation):
    """A report on images of `subject`, which is a "run", a "folder" or a "dataset", and how they were had."""

    subject: str
    subject_kind: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class JudgedImages:
    """Images and what is known about each: a row of `frame` (labels, `caption`) and a name.

    `parts(batch_size)` yields uint8 (B, 3, H, W) in the order of the rows; a run draws them anew each time,
    from number `start` on where it is told one.
    `real_parts` does so with the real images a run's requests were taken from; None where there are none.
    """

    path: Path
    kind: str  # "run", "dataset" or "folder"
    image_size: int
    names: tuple[str, ...]
    frame: pd.DataFrame
    parts: Callable[..., Iterator[Tensor]]
    settings: dict[str, Any] = field(default_factory=dict)
    generator: FaceGenerator | None = None
    real_parts: Callable[[int], Iterator[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pairing(self) -> str:
        """What two drawings must share to be compared image by image; "" of stored images."""
        return "" if self.run is None else drawn_pairing(self.frame.to_json(), self.settings["seed"])

    @property
    def run(self) -> Path | None:
        """The run that draws them; None of stored images."""
        return self.path if self.kind == "run" else None

    def facts(self, **settings: Any) -> dict[str, Any]:
        """What a `JudgedReport` says of where the images come from, with more `settings`."""
        told = {"subject": named(self.path), "subject_kind": self.kind}
        return {**told, "settings": self.settings | settings}

    def title(self, stored: str) -> str:
        """What is going on while they are looked at; `stored` is what to say of images that are not drawn."""
        return "Drawing and judging faces" if self.kind == "run" else stored

    def check_size(
        self, dataset: Dataset, *, role: str = "reference", spoils: str = "change the score"
    ) -> None:
        """Refuse a data set of another image size, since resizing would decide part of the answer.

        Raises:
            DataError: another size.
        """
        size = dataset.manifest.image_size
        if self.image_size != size:
            raise DataError(
                f"'{self.path}' has images of {self.image_size} pixels and the {role} of {size}; resizing "
                f"either would {spoils}.",
                hint=f"Prepare the {role} with --size {self.image_size}.",
            )


def is_run(path: Path) -> bool:
    """Whether there is a run, a checkpoint or a published pipeline at `path`."""
    files = (RECIPE_FILE, INFO_FILE, INDEX_FILE)
    return any((path / file).is_file() for file in files) or bool(list_checkpoints(path))


def open_judged(path: Path, selection: Selection, device: torch.device, progress: Progress) -> JudgedImages:
    """Open `path`, a run, a prepared data set or a folder of images.

    Raises:
        DataError: nothing there, too few images, mixed sizes, no such split.
        UsageError: sampling settings for what is not a run, a run that draws no faces.
    """
    if not path.exists():
        raise DataError(
            f"'{path}' does not exist; expected a run, a folder of images or a prepared data set."
        )
    if is_run(path):
        return _of_run(path, selection, device, progress)
    if selection.is_told:
        raise UsageError(f"Guidance, steps and sampler are for runs, and '{path}' is not one.")
    if (path / MANIFEST_NAME).is_file():
        return _of_dataset(path, selection)
    return _of_folder(path, selection)


def _of_run(path: Path, selection: Selection, device: torch.device, progress: Progress) -> JudgedImages:
    import pandas as pd

    generator = load(path, device)
    count = selection.default_samples if selection.num_samples is None else selection.num_samples
    settings = drawing_settings(generator, selection)
    real: Callable[[int], Iterator[Tensor]] | None = None
    if selection.prompt is not None:
        inputs = generator.inputs_for(read_request(generator, progress, prompt=selection.prompt), count)
        frame = pd.DataFrame({"caption": [selection.prompt] * count})
    else:
        records, rows, frame = asked_records(
            generator, selection.data, selection.split, count, selection.seed
        )
        inputs = requested_inputs(generator, records, rows)
        if records.dataset is not None:
            real = partial(batches, records.dataset.split(records.split), rows)

    def draw(batch_size: int, start: int = 0) -> Iterator[Tensor]:
        drawn = generated_batches(generator, inputs[start:], settings, seed=selection.seed + start)
        for _, images in drawn:
            yield from images.split(batch_size)

    return JudgedImages(
        path,
        "run",
        generator.image_size,
        tuple(f"seed {selection.seed + index}" for index in range(count)),
        frame,
        draw,
        generator_facts(generator, settings, selection.seed),
        generator,
        real,
    )


def _of_dataset(path: Path, selection: Selection) -> JudgedImages:
    dataset = Dataset.open(path)
    split = dataset.split(selection.split)
    indices = _indices(path, len(split), selection)
    frame = split.frame.iloc[indices.tolist()].reset_index(drop=True)
    if selection.prompt is not None:
        frame["caption"] = selection.prompt
    names = tuple(str(name) for name in frame["id"])
    read = partial(batches, split, indices)
    settings = {"seed": selection.seed}
    return JudgedImages(path, "dataset", dataset.manifest.image_size, names, frame, read, settings)


def _of_folder(path: Path, selection: Selection) -> JudgedImages:
    import pandas as pd

    folder = FolderImages(path)
    indices = _indices(path, len(folder), selection)
    files = [folder.files[index] for index in indices.tolist()]
    if selection.prompt is not None:
        captions: list[str | None] = [selection.prompt] * len(files)
    else:
        table = _captions_table(path / METADATA_FILE)
        captions = [table[file.name] if file.name in table else _own_prompt(file) for file in files]
    frame = pd.DataFrame({"caption": pd.array(captions, dtype="string")})
    names = tuple(file.name for file in files)
    read = partial(batches, folder, indices)
    return JudgedImages(path, "folder", folder.image_size, names, frame, read, {"seed": selection.seed})


def _indices(path: Path, available: int, selection: Selection) -> Tensor:
    wanted = selection.num_samples
    if wanted is not None and wanted > available:
        raise DataError(f"{wanted:,} images were asked for, and '{path}' has {available:,}.")
    return chosen_indices(available, wanted, selection.seed)


def _captions_table(path: Path) -> dict[str, str]:
    """File name to caption from a metadata.csv; empty where there is none.

    Raises:
        DataError: unreadable, or without the two columns.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            file_column = next((name for name in FILE_COLUMNS if name in columns), None)
            caption_column = next((name for name in CAPTION_COLUMNS if name in columns), None)
            if file_column is None or caption_column is None:
                raise DataError(
                    f"'{path}' has the columns {', '.join(columns) or 'none'}; it needs '{FILE_COLUMNS[0]}' "
                    f"and one of {', '.join(CAPTION_COLUMNS)}."
                )
            return {row[file_column]: row[caption_column] for row in reader if row[caption_column]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' cannot be read: {error}.") from error


def _own_prompt(file: Path) -> str | None:
    """The prompt that `facegen sample` wrote into a PNG, if this is one."""
    if file.suffix.lower() != ".png":
        return None
    try:
        return json.loads(read_png_text(file).get(SETTINGS_KEY, "{}")).get("prompt")
    except (ValueError, AttributeError):
        return None
