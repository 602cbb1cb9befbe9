"""Which faces `facegen eval edit` edits, and what it asks them for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facegen.errors import DataError
from facegen.evaluation.options import EditEvaluationOptions
from facegen.formats.far import named
from facegen.models.generator import FaceGenerator
from facegen.sampling.edit_request import overlaid
from facegen.sampling.records import LabelledRecords, open_records, records_of_run


def photo_records(generator: FaceGenerator, options: EditEvaluationOptions) -> LabelledRecords:
    """The records that photos to edit come from.

    Raises:
        UsageError: the run's own data are not there any more.
        DataError: they hold no photos, or photos of another size.
    """
    if options.data is None:
        records = records_of_run(generator, options.split)
    else:
        records = open_records(options.data, options.split)
    if records.dataset is None:
        raise DataError(
            f"'{named(records.source)}' holds latents, and an edit begins with photos.",
            hint="Name the data set that they were made of: --data DATASET",
        )
    size = records.dataset.manifest.image_size
    if size != generator.image_size:
        raise DataError(
            f"'{named(records.source)}' has pictures of {size} pixels, the run draws {generator.image_size}.",
            hint=f"Prepare the data with --size {generator.image_size}.",
        )
    return records


def faces_to_switch(records: LabelledRecords, name: str, count: int, seed: int) -> list[int]:
    """Numbers of `count` records: half with the attribute and half without, as far as there are so many.

    Raises:
        DataError: no record says whether it has it.
    """
    labels = records.frame[name]
    order = np.random.default_rng(seed).permutation(len(labels))
    known = {
        value: [int(i) for i in order if labels.iloc[i] is not None and labels.iloc[i] == value]
        for value in (1, 0)
    }
    with_it = known[1][: max(count // 2, count - len(known[0]))]
    found = [*with_it, *known[0][: count - len(with_it)]]
    if not found:
        raise DataError(f"No record of split '{records.split}' says whether it shows '{name}'.")
    return sorted(found)


def switching_requests(
    records: LabelledRecords, names: Sequence[str], name: str, numbers: list[int]
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """What each face is told to show, its labels of `names`, and what it is asked for: `name` is switched."""
    frame = records.frame.iloc[numbers]
    columns = [one for one in names if one in frame.columns]
    signed = (2 * frame[columns].astype("Int8") - 1).fillna(0).to_numpy(dtype="float64")
    told = [
        {label: float(value) for label, value in zip(columns, row, strict=True) if value} for row in signed
    ]
    return told, [overlaid(one, {name: -one[name]}) for one in told]
