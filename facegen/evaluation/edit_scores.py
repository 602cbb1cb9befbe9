"""What editing does, as scores that compare: pooled over the attributes, and of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from facegen.evaluation.edit_matrix import Counts
from facegen.evaluation.score_rows import Better, score_row
from facegen.formats.influences import Influence, Influences
from facegen.formats.reports import ScoreRow
from facegen.metrics import pooled_share, share_of

POOLED = {
    "hit": "the share of switches that came true",
    "leakage": "the share of other answers that changed",
    "pixels": "the mean grey levels from the photo",
    "distance": "the mean perceptual distance from the photo",
    "features": "the mean of 1 - cosine with the photo",
}
OF_EACH = ("hit", "leakage")


@dataclass(frozen=True)
class Switch:
    """What switching an attribute at a strength did to each of the faces of these numbers."""

    attribute: str
    strength: float
    numbers: Sequence[int]
    counts: Counts


def edit_scores(
    switches: Sequence[Switch],
    judges: Mapping[str, str],
    alone: Mapping[str, float | None],
    pairing: str,
) -> tuple[dict[str, ScoreRow], Influences]:
    """`hit at STRENGTH`, `leakage ...`, and the three distances, pooled over all attributes; `hit NAME at
    STRENGTH` and `leakage NAME ...` of each; and what single faces add to them.

    A face that several attributes are switched in counts as one where intervals are concerned. `judges` are
    the fingerprints of who tells `distance` and `features`; `alone` is what the autoencoder alone comes to,
    the ceiling of the distances. `pairing` names the photos and requests.
    """
    rows: dict[str, ScoreRow] = {}
    influences: dict[str, Influence] = {}
    for name, kind, parts, settings in _named(switches):
        hits, counts = _by_face(parts, kind)
        if not counts.any():
            continue
        is_one = kind == "hit" and len(parts) == 1  # then no face counts twice
        found = share_of(int(hits.sum()), int(counts.sum())) if is_one else pooled_share(hits, counts)
        better: Better = "higher" if kind == "hit" else "lower"
        settings |= {kind: judges[kind]} if kind in judges else {}
        ends = {"ceiling": alone.get(kind), "settings": settings}
        rows[name] = score_row("edit", found["share"], found, better, POOLED[kind], **ends)
        influences[name] = Influence.of_ratio(torch.as_tensor(hits), torch.as_tensor(counts))
    return rows, Influences(influences, pairing)


def _named(switches: Sequence[Switch]) -> Iterator[tuple[str, str, list[Switch], dict[str, Any]]]:
    """Name, kind, what goes into it, and settings of every score."""
    for strength in dict.fromkeys(one.strength for one in switches):
        parts = [one for one in switches if one.strength == strength]
        switched = [one.attribute for one in parts]
        for kind in parts[0].counts:
            yield f"{kind} at {strength:g}", kind, parts, {"switched": switched}
        for one in parts:
            for kind in OF_EACH:
                yield f"{kind} {one.attribute} at {strength:g}", kind, [one], {}


def _by_face(parts: Sequence[Switch], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the counts of all `parts`, an entry for each face."""
    numbers = np.concatenate([np.asarray(one.numbers) for one in parts])
    faces, where = np.unique(numbers, return_inverse=True)
    hits, counts = (
        np.bincount(where, np.concatenate([one.counts[kind][i] for one in parts]), len(faces)) for i in (0, 1)
    )
    return hits, counts
