"""Which prepared images are kept: of equal pictures one, and none where their labels contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from facegen.preparation.images import PreparedImage
from facegen.types import DatasetRecord, DatasetReject

NO_FAULT = ("duplicate", "conflict", "outside the splits", "no face", "face ")
"""How reasons begin that say nothing against a source as a whole."""


@dataclass
class SortedOut:
    """Indices of the images to keep, everything left out, and what had to be repaired."""

    kept: list[int] = field(default_factory=list[int])
    rejects: list[DatasetReject] = field(default_factory=list[DatasetReject])
    repairs: list[str] = field(default_factory=list[str])


def sort_out(
    records: Sequence[DatasetRecord], outcomes: Sequence[PreparedImage], *, keep_first: bool
) -> SortedOut:
    """Leave out what cannot be used, copies, and pictures whose copies are labelled otherwise.

    Of the latter the first is kept where `keep_first`.
    """
    copies: dict[str, list[int]] = {}
    for index, outcome in enumerate(outcomes):
        if not outcome.problem:
            copies.setdefault(outcome.sha256, []).append(index)
    problems = {index: outcome.problem for index, outcome in enumerate(outcomes) if outcome.problem}
    contradictions: list[str] = []
    for first, *others in copies.values():
        told = next((told for other in others if (told := contradiction(records[first], records[other]))), "")
        for other in others:
            problems[other] = f"duplicate: same bytes as {records[first].id}"
        if told:
            contradictions.append(f"{records[first].id} and {records[others[0]].id}: {told}")
            conflict = f"conflict: equal pictures with other labels ({told})"
            problems |= dict.fromkeys(others if keep_first else [first, *others], conflict)
    found = SortedOut([index for index in range(len(records)) if index not in problems])
    found.rejects = [
        DatasetReject(records[index].id, records[index].location, problems[index])
        for index in sorted(problems)
    ]
    if contradictions:
        what = "the first is kept" if keep_first else "all are left out"
        found.repairs.append(
            f"{len(contradictions):,} pictures are there twice with different labels, {what} (such as "
            f"{contradictions[0]}; rejects.csv has them all)"
        )
    mended = Counter(outcomes[index].mended for index in found.kept if outcomes[index].mended)
    for told, count in mended.items():
        example = next(records[index].id for index in found.kept if outcomes[index].mended == told)
        found.repairs.append(f"{count:,} images: {told} (such as {example})")
    return found


def contradiction(one: DatasetRecord, other: DatasetRecord) -> str:
    """ "race Asian or White": the labels and numbers that both know and that differ; "" for none."""
    differing = [
        f"{name} {_word(value)} or {_word(there[name])}"
        for here, there in (
            (one.attributes, other.attributes),
            (one.classes, other.classes),
            (_numbers(one), _numbers(other)),
        )
        for name, value in here.items()
        if value is not None and there.get(name) not in (None, value)
    ]
    return ", ".join(differing)


def _numbers(record: DatasetRecord) -> dict[str, int | float]:
    return {name: value for name, value in record.extra.items() if isinstance(value, int | float)}


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
