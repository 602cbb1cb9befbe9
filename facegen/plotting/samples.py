"""`facegen plot samples`: a labelled grid, drawn now or of PNGs that `facegen sample` made."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.checkpoint import resolve_checkpoint
from facegen.formats.images import decode_image
from facegen.plotting.image_table import image_table
from facegen.plotting.requested import Requested, pictures, run_of, words_of
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.plotting.style import Plot
from facegen.protocols import Progress
from facegen.sampling.plan import GRID_IMAGES, plan_of, shares
from facegen.sampling.png_settings import ImageSettings, read_image_settings
from facegen.sampling.records import (
    LabelledRecords,
    real_images,
    reconstructions,
    request_records,
    requested_inputs,
)
from facegen.sampling.request import asking_of, request_text
from facegen.sampling.sample import GRID_NAME, STRIP_NAME, SampleOptions

FACES_A_ROW = 8
HELD_OUT_ROWS = 6
MOST_COLUMNS = 9
LABEL_LETTERS, LABEL_LINES = 24, 4


@dataclass(frozen=True)
class _Row:
    """Faces of one request: uint8 (N, H, W, 3), what stands before them, and a caption for each."""

    label: str
    images: np.ndarray
    captions: tuple[str, ...]

    def lines(self) -> list[_Row]:
        """The row in as many lines as it needs, which are about equally long."""
        count = len(self.images)
        columns = math.ceil(count / math.ceil(count / MOST_COLUMNS))
        parts = [slice(start, start + columns) for start in range(0, count, columns)]
        label = textwrap.fill(self.label, LABEL_LETTERS, max_lines=LABEL_LINES, placeholder=" …")
        return [_Row("" if part.start else label, self.images[part], self.captions[part]) for part in parts]


def plot_samples(
    subject: Path,
    out: Path | None = None,
    *,
    options: SampleOptions | None = None,
    requests: Sequence[SampleOptions] = (),
    data: Path | None = None,
    csv: bool = False,
    progress: Progress | None = None,
) -> PlotSummary:
    """Draw a labelled grid: a row for each of `requests`, all with the same seeds.

    Without requests, a row for each class the model knows, or for the labels (of a model of pictures: the
    pictures) of some held-out records of `data` or of what the run was trained with. `options` say seed,
    count (of each row, 8), guidance, steps, sampler and device. `subject` may also be a folder of PNGs that
    `facegen sample` made: they are shown as they are, labelled by the settings they carry.

        woman, man = SampleOptions(prompt="a woman"), SampleOptions(prompt="a man")
        plot_samples(Path("runs/celeba"), Path("faces.pdf"), requests=[woman, man])

    Raises:
        UsageError: a request that this model cannot be asked, a wrong suffix, or options for finished PNGs.
        DataError: PNGs without settings or of several sizes, a photo or data that cannot be read.
        MissingModelError, StorageError: the run cannot be loaded.
    """
    subject, options = Path(subject), options or SampleOptions()
    path = figure_path(out, run_of(subject), "samples")
    if _is_folder_of_images(subject):
        if requests or data or options != SampleOptions(count=options.count):
            raise UsageError(
                f"'{subject}' is a folder of finished images; of the options only --count applies to it.",
                hint="Give a run to draw new ones.",
            )
        rows, title = _rows_of_folder(subject, options.count or GRID_IMAGES), subject.resolve().name
    else:
        requested = Requested.open(subject, options, progress)
        rows = _rows_asked(requested, requests) if requests else _rows_by_default(requested, data)
        title = requested.title
    facts = {"Images": sum(len(row.images) for row in rows)}
    return save_plot(_plot(rows, title), path, csv=csv, facts=facts)


def _rows_asked(requested: Requested, requests: Sequence[SampleOptions]) -> list[_Row]:
    options = requested.counted(FACES_A_ROW)
    asked = [
        replace(request, count=options.count, seed=options.seed, crop=options.crop) for request in requests
    ]
    for request in asked:
        request.check()
    plans = [plan_of(requested.generator, request, requested.progress) for request in asked]
    rows: list[_Row] = []
    for plan, request in zip(plans, asked, strict=True):
        images = requested.draw(plan.inputs, [face.seed for face in plan.faces])
        photos = [cell.show for cell in plan.cells if not isinstance(cell.show, int)]
        if photos:
            given, names = [pictures(photo.image) for photo in photos], [photo.name for photo in photos]
            rows += _beside(given, "photo", np.split(images, len(photos)), names, _captions(requested))
        else:
            rows.append(_Row(words_of(request), images, _captions(requested)))
    return rows


def _rows_by_default(requested: Requested, data: Path | None) -> list[_Row]:
    generator = requested.generator
    if not asking_of(generator).options:
        return _rows_asked(requested, [SampleOptions()])
    if generator.classes:
        return _rows_asked(requested, [SampleOptions(class_name=name) for name in generator.classes])
    return _rows_held_out(requested, request_records(generator, data, "validation"))


def _rows_held_out(requested: Requested, records: LabelledRecords) -> list[_Row]:
    """The first held-out records, all with the same seeds; pictures stand before what was made of them."""
    generator, seeds = requested.generator, requested.seeds(FACES_A_ROW)
    numbers = torch.arange(min(HELD_OUT_ROWS, len(records.frame)))
    inputs = requested_inputs(generator, records, numbers)
    images = requested.draw(inputs.repeat_interleave(len(seeds), 0), [*seeds] * len(numbers))
    rows, captions = np.split(images, len(numbers)), _captions(requested)
    if not generator.takes_pictures:
        labels = [_labels_of(requested, records, number) for number in numbers.tolist()]
        return [_Row(label, row, captions) for label, row in zip(labels, rows, strict=True)]
    given = real_images(records, numbers) if records.dataset else reconstructions(generator, records, numbers)
    names = [str(name) for name in records.frame["id"].iloc[numbers.tolist()]]
    return _beside(pictures(given), "held out", rows, names, captions)


def _beside(
    given: Iterable[np.ndarray],
    what: str,
    made: Sequence[np.ndarray],
    names: Sequence[str],
    captions: tuple[str, ...],
) -> list[_Row]:
    """Rows of what was made of each given picture (H, W, 3), which stands before them, called `what`."""
    return [
        _Row(name, np.concatenate([picture[None], faces]), (what, *captions))
        for name, picture, faces in zip(names, given, made, strict=True)
    ]


def _captions(requested: Requested) -> tuple[str, ...]:
    return tuple(f"seed {seed}" for seed in requested.seeds(FACES_A_ROW))


def _labels_of(requested: Requested, records: LabelledRecords, number: int) -> str:
    """What a record asks an attribute model for; its caption for a model of words."""
    record = records.frame.iloc[number]
    attributes = requested.generator.attributes
    if not attributes:
        return str(record.get("caption", record["id"]))
    asked = {name: 1.0 for name in attributes if str(record[name]) == "1"}
    return request_text(asked) or "none of the attributes"


def _is_folder_of_images(folder: Path) -> bool:
    """Whether `folder` holds PNGs and is not a run or checkpoint."""
    if not any(folder.glob("*.png")):
        return False
    try:
        resolve_checkpoint(folder)
    except MissingModelError:
        return True
    return False


def _rows_of_folder(folder: Path, count: int) -> list[_Row]:
    """A row for each request that the first `count` PNGs were made with, grids left out.

    Raises:
        DataError: a PNG without settings, no images but grids, or images of several sizes.
    """
    groups: dict[str, list[tuple[np.ndarray, str]]] = {}
    files = sorted(path for path in folder.glob("*.png") if path.name not in (GRID_NAME, STRIP_NAME))
    for path in files[:count]:
        settings = read_image_settings(path)
        image = np.asarray(decode_image(path.read_bytes()))
        place = "" if settings.position is None else f"{100 * settings.position:.0f} %, "
        groups.setdefault(_words(settings), []).append((image, f"{place}seed {settings.seed}"))
    sizes = {image.shape for group in groups.values() for image, _ in group}
    if not groups:
        raise DataError(f"'{folder}' holds no images of 'facegen sample', only grids.")
    if len(sizes) > 1:
        told = ", ".join(sorted(f"{width}x{height}" for height, width, _ in sizes))
        raise DataError(f"'{folder}' holds images of several sizes: {told}.")
    return [
        _Row(words, np.stack([image for image, _ in group]), tuple(text for _, text in group))
        for words, group in groups.items()
    ]


def _words(settings: ImageSettings) -> str:
    if settings.blend:
        return ", ".join(shares(list(settings.blend), list(settings.blend.values())))
    if settings.photos:
        return " to ".join(photo.file for photo in settings.photos)
    return settings.prompt or request_text(settings.labels)


def _plot(rows: Sequence[_Row], title: str) -> Plot:
    """A grid of at most 9 faces to the line; captions that are the same in all lines stand above the columns.

    The table has `row`, `request` and `caption` of every face.
    """
    lines = [line for row in rows for line in row.lines()]
    columns = max(len(line.images) for line in lines)
    images = np.zeros((len(lines), columns, *lines[0].images.shape[1:]), np.uint8)
    for number, line in enumerate(lines):
        images[number, : len(line.images)] = line.images
    captions = [[*line.captions, *[""] * (columns - len(line.captions))] for line in lines]
    alike = all(each == captions[0] for each in captions)
    labels = [line.label for line in lines]
    figure = image_table(
        images,
        row_labels=labels if any(labels) else (),
        column_labels=captions[0] if alike else (),
        captions=() if alike else captions,
        title=title,
    )
    told = [
        {"row": number, "request": row.label, "caption": caption}
        for number, row in enumerate(rows)
        for caption in row.captions
    ]
    return Plot(figure, pd.DataFrame(told))
