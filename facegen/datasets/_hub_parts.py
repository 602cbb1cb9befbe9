"""Which files of a parquet data set belong together: its subsets, and the split each file is part of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from facegen.datasets._hub_files import ParquetSet, SourceFile
from facegen.datasets.image_folder import SPLIT_FOLDERS
from facegen.errors import DataError, UsageError, did_you_mean

DEFAULT_SUBSET = "default"
_STORAGE_FOLDERS = ("data", "parquet")


@dataclass(frozen=True)
class PartFile:
    """A file and the split its name or the README says it belongs to; None where neither does."""

    file: SourceFile
    split: str | None


def choose_files(source: ParquetSet, subset: str | None) -> list[PartFile]:
    """The files of one subset, by name. A single split is no partition, so that it counts as none.

    Raises:
        UsageError: several subsets and none asked for, or an unknown one.
        DataError: the subset holds no parquet files.
    """
    subsets = _described_subsets(source) or _subsets_by_folder(source.files)
    name = _subset_name(list(subsets), source, subset)
    parts = subsets[name]
    if not parts:
        raise DataError(f"Subset '{name}' of '{source.title}' holds no parquet files.")
    if len({part.split for part in parts}) == 1:
        return [PartFile(part.file, None) for part in parts]
    return parts


def first_files(parts: Sequence[PartFile]) -> list[PartFile]:
    """The same files in the order to fetch them when few images are wanted.

    Every split's first file comes first; after that, the splits progress evenly through their files.
    """
    totals = {split: sum(part.split == split for part in parts) for split in {p.split for p in parts}}
    seen = dict.fromkeys(totals, 0)
    ranked: list[tuple[float, int]] = []
    for index, part in enumerate(parts):
        position = seen[part.split]
        seen[part.split] += 1
        ranked.append((position and (position + 0.5) / totals[part.split], index))
    return [parts[index] for _, index in sorted(ranked)]


def split_of(name: str) -> str | None:
    """The split a file name speaks of: "data/train-00000-of-00002.parquet", "default/test/0000.parquet"."""
    path = PurePosixPath(name)
    for part in (path.stem, *reversed(path.parts[:-1])):
        words = [
            SPLIT_FOLDERS[word] for word in re.split(r"[^a-z]+", part.casefold()) if word in SPLIT_FOLDERS
        ]
        if words:
            return words[0]
    return None


def _described_subsets(source: ParquetSet) -> dict[str, list[PartFile]]:
    """Subsets as the README's `configs` lists them; those without parquet files are left out."""
    found: dict[str, list[PartFile]] = {}
    configs = source.card.get("configs")
    for config in configs if isinstance(configs, list) else ():
        patterns = _patterns(config.get("data_files")) if isinstance(config, Mapping) else []
        parts = []
        for file in source.files:
            split = next((split for split, glob in patterns if _fits(file.name, glob)), "")
            if split != "":
                named = SPLIT_FOLDERS.get(split.casefold()) if split else split_of(file.name)
                parts.append(PartFile(file, named))
        if parts:
            found[str(config.get("config_name", DEFAULT_SUBSET))] = parts
    return found


def _patterns(data_files: Any) -> list[tuple[str | None, str]]:
    """(split, glob) pairs of `data_files`: a glob, a list of globs, or a list of {split, path}."""
    found: list[tuple[str | None, str]] = []
    for entry in data_files if isinstance(data_files, list) else [data_files]:
        if isinstance(entry, str):
            found.append((None, entry))
        elif isinstance(entry, Mapping):
            paths = entry.get("path", [])
            split = str(entry["split"]) if entry.get("split") else None
            found += [(split, str(path)) for path in (paths if isinstance(paths, list) else [paths])]
    return found


def _fits(name: str, glob: str) -> bool:
    glob = glob.removeprefix("./")
    return fnmatchcase(name, glob) or fnmatchcase(name, glob.replace("**/", ""))


def _subsets_by_folder(files: Sequence[SourceFile]) -> dict[str, list[PartFile]]:
    """Subsets by top folder, as the hub's own parquet copies are laid out: SUBSET/SPLIT/0000.parquet."""
    found: dict[str, list[PartFile]] = {}
    for file in files:
        parts = PurePosixPath(file.name).parts
        top = parts[0] if len(parts) > 1 else DEFAULT_SUBSET
        if top in _STORAGE_FOLDERS or split_of(f"{top}.parquet"):
            top = DEFAULT_SUBSET
        found.setdefault(top, []).append(PartFile(file, split_of(file.name)))
    return found


def _subset_name(names: list[str], source: ParquetSet, asked: str | None) -> str:
    if asked is not None:
        if asked not in names:
            raise UsageError(
                f"'{source.title}' has no subset '{asked}'.{did_you_mean(asked, names)}",
                hint=f"Its subsets: {', '.join(names)}.",
            )
        return asked
    marked = [
        str(config.get("config_name"))
        for config in source.card.get("configs") or ()
        if isinstance(config, Mapping) and config.get("default")
    ]
    for name in (*marked, DEFAULT_SUBSET):
        if name in names:
            return name
    if len(names) > 1:
        raise UsageError(
            f"'{source.title}' has {len(names)} subsets: {', '.join(names)}.",
            hint=f"Choose one with --subset, such as --subset {names[0]}.",
        )
    return names[0]
