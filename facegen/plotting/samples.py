"""`facegen plot samples`: a labelled grid, drawn now or of PNGs that `facegen sample` made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facegen.errors import UsageError
from facegen.plotting.requested import Requested, pictures, run_title, subject_of, words_of, wrapped
from facegen.plotting.sampled_folder import is_folder_of_images, rows_of_folder
from facegen.plotting.samples_figure import SampleRow, samples_plot
from facegen.plotting.saving import PlotSummary, figure_path, save_plot
from facegen.protocols import Progress
from facegen.sampling.plan import GRID_IMAGES, plan_of
from facegen.sampling.records import (
    LabelledRecords,
    real_images,
    reconstructions,
    request_records,
    requested_inputs,
)
from facegen.sampling.request import request_text
from facegen.sampling.sample import SampleOptions

FACES_A_ROW = 8
HELD_OUT_ROWS = 6


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
    path = figure_path(out, subject_of(subject), "samples")
    if is_folder_of_images(subject):
        if requests or data or options != SampleOptions(count=options.count):
            raise UsageError(
                f"'{subject}' is a folder of finished images; of the options only --count applies to it.",
                hint="Give a run to draw new ones.",
            )
        rows, title = rows_of_folder(subject, options.count or GRID_IMAGES), subject.resolve().name
    else:
        requested = Requested.open(subject, options, progress)
        rows = _rows_asked(requested, requests) if requests else _rows_by_default(requested, data)
        title = run_title(subject, options, requested.generator)
    facts = {"Images": sum(len(row.images) for row in rows)}
    return save_plot(samples_plot(rows, title), path, csv=csv, facts=facts)


def _rows_asked(requested: Requested, requests: Sequence[SampleOptions]) -> list[SampleRow]:
    options = requested.counted(FACES_A_ROW)
    asked = [
        replace(request, count=options.count, seed=options.seed, crop=options.crop) for request in requests
    ]
    for request in asked:
        request.check()
    plans = [plan_of(requested.generator, request, requested.progress) for request in asked]
    rows: list[SampleRow] = []
    for plan, request in zip(plans, asked, strict=True):
        images = requested.draw(plan.inputs, [face.seed for face in plan.faces])
        photos = [cell.show for cell in plan.cells if not isinstance(cell.show, int)]
        if not photos:
            rows.append(SampleRow(wrapped(words_of(request)), images, _captions(requested)))
        for photo, made in zip(photos, np.split(images, max(1, len(photos))), strict=False):
            rows.append(_beside(photo.name, pictures(photo.image), made, ("photo", *_captions(requested))))
    return rows


def _rows_by_default(requested: Requested, data: Path | None) -> list[SampleRow]:
    generator = requested.generator
    if generator.recipe.section("conditioner").kind == "none":
        return _rows_asked(requested, [SampleOptions()])
    classes: tuple[str, ...] = getattr(generator.conditioner, "classes", ())
    if classes:
        return _rows_asked(requested, [SampleOptions(class_name=name) for name in classes])
    return _rows_held_out(requested, request_records(generator, data, "validation"))


def _rows_held_out(requested: Requested, records: LabelledRecords) -> list[SampleRow]:
    """The first held-out records, all with the same seeds; pictures stand before what was made of them."""
    generator, seeds = requested.generator, requested.seeds(FACES_A_ROW)
    numbers = torch.arange(min(HELD_OUT_ROWS, len(records.frame)))
    inputs = requested_inputs(generator, records, numbers)
    images = requested.draw(inputs.repeat_interleave(len(seeds), 0), [*seeds] * len(numbers))
    rows = np.split(images, len(numbers))
    if not generator.takes_pictures:
        labels = [_labels_of(requested, records, number) for number in numbers.tolist()]
        return [
            SampleRow(wrapped(label), row, _captions(requested))
            for label, row in zip(labels, rows, strict=True)
        ]
    given = real_images(records, numbers) if records.dataset else reconstructions(generator, records, numbers)
    names = [str(name) for name in records.frame["id"].iloc[numbers.tolist()]]
    captions = ("held out", *_captions(requested))
    return [
        _beside(name, picture, row, captions)
        for name, picture, row in zip(names, pictures(given), rows, strict=True)
    ]


def _beside(name: str, picture: np.ndarray, made: np.ndarray, captions: tuple[str, ...]) -> SampleRow:
    return SampleRow(wrapped(name), np.concatenate([picture[None], made]), captions)


def _captions(requested: Requested) -> tuple[str, ...]:
    return tuple(f"seed {seed}" for seed in requested.seeds(FACES_A_ROW))


def _labels_of(requested: Requested, records: LabelledRecords, number: int) -> str:
    """What a record asks an attribute model for; its caption for a model of words."""
    record = records.frame.iloc[number]
    attributes = getattr(requested.generator.conditioner, "attributes", None)
    if attributes is None:
        return str(record.get("caption", record["id"]))
    asked = {name: 1.0 for name in attributes if str(record[name]) == "1"}
    return request_text(asked) or "none of the attributes"
