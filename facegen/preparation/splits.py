"""Which image belongs to training, validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from facegen.errors import UsageError
from facegen.formats.dataset import SPLITS
from facegen.formats.files import sha256_of
from facegen.protocols import DatasetAdapter
from facegen.types import DatasetRecord

Fractions = tuple[float, float, float]


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse split shares that are not three numbers of 0..1 with sum 1 and something for training.

    Raises:
        UsageError
    """
    good = len(fractions) == 3 and min(fractions) >= 0 and fractions[0] > 0 and abs(sum(fractions) - 1) < 1e-6
    if not good:
        raise UsageError(
            f"Splits are three shares (train, validation, test) with sum 1, not {list(fractions)}.",
            hint="Example: 0.8,0.1,0.1",
        )


def assign_splits(
    records: Sequence[DatasetRecord], adapter: DatasetAdapter, asked: Fractions | None, seed: int
) -> tuple[list[str], list[str]]:
    """Return the split of each record, and what a person should know about how it came about.

    Shares that were asked for win over the source's own partition. Where the source has none, or leaves a
    part empty that it must have, images are split by identity, or by id where no identity is known.
    """
    official = Counter(record.split for record in records if record.split)
    empty = [split for split in adapter.required_splits if not official[split]]
    if asked is None and official and not empty:
        without = sum(record.split is None for record in records)
        notes = [f"{without} images that the partition does not name went to train."] if without else []
        splits = [record.split or "train" for record in records]
        notes += [
            f"No image of {each} is in train: it is not learnt." for each in _untrained(records, splits)
        ]
        return splits, notes
    fractions = asked or adapter.default_splits
    how = "by identity" if any(record.identity for record in records) else "by image"
    shares = ", ".join(f"{name} {share:g}" for name, share in zip(SPLITS, fractions, strict=True))
    reason = "The source has no partition"
    if official:
        reason = f"The source's partition leaves {' and '.join(empty)} empty" if empty else ""
    if asked is not None:
        reason = "Shares were asked for" + (", so the source's partition is set aside" if official else "")
    note = f"{reason}: split {how} ({shares})."
    if how == "by image" and adapter.medium == "photo":
        note += " No identities are known, so one person may be in two parts."
    splits = split_by_group(records, fractions, seed)
    moved = _train_every_class(records, splits)
    notes = [note, *([f"Moved to train, to have one there: {_listed(moved)}."] if moved else [])]
    lacking = [name for name, share in zip(SPLITS, fractions, strict=True) if share and name not in splits]
    if lacking:
        what = "people" if how == "by identity" else "images"
        notes.append(f"There are too few {what} for every part: {' and '.join(lacking)} stayed empty.")
    return splits, notes


def _untrained(records: Sequence[DatasetRecord], splits: Sequence[str]) -> dict[str, int]:
    """ "COLUMN NAME" of each class without an image in train -> the first record of it."""
    first: dict[str, int] = {}
    trained: set[str] = set()
    for index, (record, split) in enumerate(zip(records, splits, strict=True)):
        for each in (f"{column} {name}" for column, name in record.classes.items() if name is not None):
            first.setdefault(each, index)
            if split == "train":
                trained.add(each)
    return {each: index for each, index in first.items() if each not in trained}


def _train_every_class(records: Sequence[DatasetRecord], splits: list[str]) -> list[str]:
    """Move an image, and with it its person, to train for every class that has none there; which classes."""
    images_of: dict[str | None, list[int]] = {}
    for index, record in enumerate(records):
        images_of.setdefault(record.identity, []).append(index)
    untrained = _untrained(records, splits)
    for index in untrained.values():
        identity = records[index].identity
        for other in images_of[identity] if identity else [index]:
            splits[other] = "train"
    return list(untrained)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def split_by_group(records: Sequence[DatasetRecord], fractions: Fractions, seed: int) -> list[str]:
    """Give whole identities to splits so that sizes come near `fractions`; order decided by hash.

    Every split that has a share gets an identity while there are enough of them.
    """
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        key = f"identity/{record.identity}" if record.identity else f"id/{record.id}"
        groups.setdefault(key, []).append(index)
    order = sorted(groups, key=lambda key: sha256_of(f"{seed}/{key}".encode()))
    missing: dict[str, float] = dict(zip(SPLITS, (share * len(records) for share in fractions), strict=True))
    splits = [""] * len(records)
    empty = [split for split, share in zip(SPLITS, fractions, strict=True) if share > 0]
    for left, key in zip(range(len(order), 0, -1), order, strict=True):
        candidates = empty if empty and left <= len(empty) else list(SPLITS)
        split = max(candidates, key=lambda name: missing[name])
        empty = [name for name in empty if name != split]
        missing[split] -= len(groups[key])
        for index in groups[key]:
            splits[index] = split
    return splits
