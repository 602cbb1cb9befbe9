"""What the folders of a source say: splits, classes, people, or nothing. The evidence is told."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from facegen.datasets._columns import join_spellings, some_of
from facegen.errors import DataError

Layout = Literal["auto", "table", "classes", "people", "flat"]
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SPLIT_ENDING = re.compile(r"[\s_-]*(set|data|images|imgs|split|faces)$")
_MAX_DIGITS = 18
_SHARD = re.compile(r"\d{5,}")
_MANY_CLASSES, _FEW_IMAGES = 50, 5  # more folders with fewer images each look like people
LOOSE = "beside the folders of the splits"


@dataclass
class Folders:
    """`split_of`, `class_of` and `person_of` by image name, where known; `told` is the evidence.

    `class_names` are in order; `left_out` has images that belong to no split; `repairs` what was joined.
    """

    told: list[str] = field(default_factory=list[str])
    repairs: list[str] = field(default_factory=list[str])
    split_of: dict[str, str] = field(default_factory=dict[str, str])
    class_of: dict[str, str] = field(default_factory=dict[str, str])
    person_of: dict[str, str] = field(default_factory=dict[str, str])
    class_names: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict[str, str])


def split_named(text: str) -> str | None:
    """ "val", "Test", "training_set", "test-images": the split that a name means; None for other words."""
    lowered = text.strip().casefold()
    return SPLIT_FOLDERS.get(lowered) or SPLIT_FOLDERS.get(_SPLIT_ENDING.sub("", lowered))


def read_splits(images: Sequence[str], asked: Layout = "auto") -> tuple[Folders, dict[str, list[str]]]:
    """Find the folders that are splits; of every image that stays, the folders below those.

    Folders that hold everything are looked into. A single split is none.

    Raises:
        DataError: some folders are called like splits and others are not.
    """
    folders = Folders()
    parts = {name: name.split("/")[:-1] for name in images}
    _unwrap(parts, folders, deepest=asked in ("classes", "people"))
    if asked in ("classes", "people"):
        level = None
    else:
        level = next((level for level in (0, 1) if _is_split_level(parts, level, asked)), None)
    if level is None:
        return folders, parts
    kept: dict[str, list[str]] = {}
    for name, inside in parts.items():
        if len(inside) <= level:
            folders.left_out[name] = LOOSE
            continue
        folders.split_of[name] = split_named(inside[level]) or "train"
        kept[name] = [*inside[:level], *inside[level + 1 :]]
    seen = dict.fromkeys(parts[name][level] for name in kept)
    folders.told.append(f"splits by folder: {', '.join(f'{top} is {split_named(top)}' for top in seen)}")
    _unwrap(kept, folders)
    return folders, kept


def read_folders(images: Sequence[str], asked: Layout) -> Folders:
    """Say what the folders mean, by their names, numbers and counts, or as `asked`.

    Raises:
        DataError: as `read_splits`; or classes or people are asked for and there are no folders.
    """
    folders, parts = read_splits(images, asked)
    tops = Counter(inside[0] for inside in parts.values() if inside)
    if asked == "flat" or not tops:
        if asked in ("classes", "people"):
            raise DataError(f"--layout {asked}: there is no folder for each.")
        folders.told.append("images without labels" + (": folders are not read" if tops else ""))
        return folders
    if asked == "auto" and _are_shards(parts):
        first, *_, last = sorted(tops)
        folders.told.append(
            f"images without labels: the {len(tops)} folders {first} to {last} number the images on, so they "
            "are shards (--layout classes reads them as classes)"
        )
        return folders
    inside_of = {name: inside[0] for name, inside in parts.items() if inside}
    if asked == "people":
        folders.person_of = inside_of
        folders.told.append(f"a folder per person: {len(tops):,} people")
        return folders
    spelling, joined = join_spellings(tops)
    folders.repairs += [f"folders: {joined}"] if joined else []
    folders.class_of = {name: spelling[top] for name, top in inside_of.items()}
    folders.class_names = tuple(sorted(set(spelling.values())))
    loose = len(parts) - len(inside_of)
    folders.told.append(
        f"a folder per class: {len(folders.class_names):,} ({some_of(folders.class_names)})"
        + (f"; {loose:,} images lie in none, their class is unknown" if loose else "")
    )
    _doubt(folders, tops)
    return folders


def _unwrap(parts: dict[str, list[str]], folders: Folders, *, deepest: bool = False) -> None:
    """Look into a folder that holds everything; where `deepest`, not into the last that there is."""
    passed: list[str] = []
    while parts and all(parts.values()):
        tops = {inside[0] for inside in parts.values()}
        if len(tops) > 1 or (deepest and all(len(inside) == 1 for inside in parts.values())):
            break
        passed += tops
        for name, inside in parts.items():
            parts[name] = inside[1:]
    if passed:
        folders.told.append(f"everything lies in {'/'.join(passed)}/")


def _is_split_level(parts: dict[str, list[str]], level: int, asked: Layout) -> bool:
    """Whether the folders at this depth are splits, training among them; loose images do not count.

    Raises:
        DataError: "train" is there, and a folder beside it that is no split.
    """
    tops = dict.fromkeys(inside[level] for inside in parts.values() if len(inside) > level)
    splits = {top: split_named(top) for top in tops}
    if level == 1 and any(len(inside) <= 1 for inside in parts.values()):
        return False
    if "train" not in splits.values() or len(tops) < 2:
        return False
    others = [top for top, split in splits.items() if split is None]
    if others and level == 0 and asked == "auto":
        train = next(top for top, split in splits.items() if split == "train")
        raise DataError(
            f"'{train}' is a split's name and '{others[0]}' is not: they may be splits or classes.",
            hint="Rename it (train, val, test), or say what folders are: --layout classes, or flat for none.",
        )
    return not others


def _are_shards(parts: dict[str, list[str]]) -> bool:
    """Whether folders are numbered in five digits or more, and go on numbering where the last one ended."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for name, inside in parts.items():
        digits = re.findall(r"\d+", name.rpartition("/")[2])
        if not inside or not _SHARD.fullmatch(inside[0]) or not digits:
            return False
        numbers[inside[0]].append(int(digits[0][-_MAX_DIGITS:]))
    ranges = [(min(found), max(found)) for _, found in sorted(numbers.items())]
    return all(last < first for (_, last), (first, _) in pairwise(ranges))


def _doubt(folders: Folders, tops: Counter[str]) -> None:
    names = folders.class_names
    if len(names) == 1:
        folders.told.append(f"every class is '{names[0]}', so it tells nothing")
    elif len(names) > _MANY_CLASSES and sum(tops.values()) / len(tops) < _FEW_IMAGES:
        folders.told.append("so many folders with so few images look like people: --layout people")
    elif all(name.isdigit() and len(name) >= 4 for name in names):
        folders.told.append(
            "numbers as classes' names: if they mean nothing, --layout flat, if they are people, people"
        )
