"""What editing does to many faces: how much comes true, what else changes, and how far they go.

Letters: N faces, C answers of a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from facegen.metrics import Share, pooled_share, share_of
from facegen.sampling.edit_changes import Judges, feature_change, pixel_change

EDIT, SDEDIT = "edit", "SDEdit"

Counts = dict[str, tuple[np.ndarray, np.ndarray]]
"""By number of a row, for every face (N,): what came of it, and out of how many."""


class EditRow(TypedDict):
    """What switching one attribute came to, by one method at one strength; see `edit_row`.

    `same_success` is what SDEdit does where as much comes true; None of itself, and out of its reach.
    """

    attribute: str
    method: str
    strength: float
    num_faces: int
    hit: Share | None
    leakage: Share | None
    pixels: float
    distance: float | None
    features: float | None
    same_success: dict[str, float | None] | None


@dataclass
class Looks:
    """What a classifier sees in faces (N, C) bool, and how far each is from its photo, batch by batch."""

    answers: list[Tensor] = field(default_factory=list[Tensor])
    pixels: list[Tensor] = field(default_factory=list[Tensor])
    distance: list[Tensor] = field(default_factory=list[Tensor])
    features: list[Tensor] = field(default_factory=list[Tensor])

    def add(self, images: Tensor, photos: Tensor, judges: Judges) -> None:
        """Look at uint8 images (B, 3, H, W) made of `photos`."""
        assert judges.classifier is not None
        self.answers.append(judges.classifier.logits(images) > 0)
        self.pixels.append(pixel_change(images, photos))
        if judges.distance is not None:
            self.distance.append(judges.distance.distance(images, photos))
        if judges.features is not None:
            self.features.append(feature_change(judges.features, images, photos))

    @property
    def seen(self) -> np.ndarray:
        return torch.cat(self.answers).numpy()

    @property
    def means(self) -> dict[str, float | None]:
        """Mean `pixels`, `distance` and `features`; None where there is no judge."""
        return {name: _mean(getattr(self, name)) for name in ("pixels", "distance", "features")}


def edit_counts(column: int, wanted: np.ndarray, same: np.ndarray, plain: np.ndarray, looks: Looks) -> Counts:
    """What each face adds to the numbers of `edit_row`, which says what they are; those that were judged."""
    seen = looks.seen
    could = plain[:, column] != wanted
    others = same.copy()
    others[:, column] = False
    told = {name: getattr(looks, name) for name in ("pixels", "distance", "features")}
    return {
        "hit": (could & (seen[:, column] == wanted), could),
        "leakage": (((seen != plain) & others).sum(1), others.sum(1)),
        **{
            name: (torch.cat(parts).double().cpu().numpy(), np.ones(len(seen)))
            for name, parts in told.items()
            if parts
        },
    }


def edit_row(
    attribute: str,
    method: str,
    strength: float,
    column: int,
    wanted: np.ndarray,
    same: np.ndarray,
    plain: np.ndarray,
    looks: Looks,
) -> EditRow:
    """One row of the report.

    `hit` is the share of faces that the classifier saw without what is `wanted` (N,) of answer `column` after
    the autoencoder alone (`plain`, (N, C)), and sees with it after the edit; those it saw with it already do
    not count. `leakage` is the share of all other answers that changed, where they were asked the `same`
    (N, C) before and after; its interval resamples faces.
    """
    counts = edit_counts(column, wanted, same, plain, looks)
    (came, could), (changed, others) = counts["hit"], counts["leakage"]
    means = looks.means
    return {
        "attribute": attribute,
        "method": method,
        "strength": strength,
        "num_faces": int(could.sum()),
        "hit": share_of(int(came.sum()), int(could.sum())) if could.any() else None,
        "leakage": pooled_share(changed, others) if others.any() else None,
        "pixels": means["pixels"] or 0.0,
        "distance": means["distance"],
        "features": means["features"],
        "same_success": None,
    }


def beside_sdedit(rows: Sequence[EditRow]) -> tuple[EditRow, ...]:
    """The rows, those of the edit with `same_success`: SDEdit's numbers of the same attribute, straight
    between the two of its strengths whose hits lie around the edit's."""
    return tuple(
        row if row["method"] == SDEDIT else {**row, "same_success": _at_success(row, rows)} for row in rows
    )


def _at_success(row: EditRow, rows: Sequence[EditRow]) -> dict[str, float | None] | None:
    theirs = [one for one in rows if one["method"] == SDEDIT and one["attribute"] == row["attribute"]]
    points = sorted(
        ((one["hit"]["share"], one["strength"], one) for one in theirs if one["hit"]), key=lambda p: p[:2]
    )
    if row["hit"] is None:
        return None
    share = row["hit"]["share"]
    for (low, _, before), (high, _, after) in pairwise(points):
        if low <= share <= high:
            part = 0.0 if high == low else (share - low) / (high - low)
            return {
                name: _between(_number(before, name), _number(after, name), part)
                for name in ("strength", "leakage", "pixels", "distance", "features")
            }
    return None


def _number(row: EditRow, name: str) -> float | None:
    value = row[name]
    return value["share"] if isinstance(value, Mapping) else value


def _between(first: float | None, last: float | None, part: float) -> float | None:
    return None if first is None or last is None else (1 - part) * first + part * last


def _mean(parts: Sequence[Tensor]) -> float | None:
    return float(torch.cat([*parts]).mean()) if parts else None
