"""UTKFace (Zhang et al. 2017): aligned faces whose names say age, gender and race."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from facegen.config.kinds import KindConfig
from facegen.datasets._sources import open_source
from facegen.datasets._tree import SourceTree
from facegen.errors import DataError
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import DatasetRecord, DatasetReject, LabelSchema, Recognition
from facegen.vocabulary.words import AGE_GROUPS

GENDERS = ("Male", "Female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
LICENCE = "UTKFace, for non-commercial research only (https://susanqq.github.io/UTKFace)"
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)(\.jpg)?(\.chip)?\.(jpg|jpeg|png)", re.IGNORECASE)
_MOST = 0.9  # of the images must be named so, where the kind is not asked for
_PATTERN = "[age]_[gender 0-1]_[race 0-4]_[date].jpg.chip.jpg"


class Config(KindConfig, frozen=True):
    kind: Literal["utkface"] = "utkface"


class UtkFace(DatasetAdapter):
    """A UTKFace folder or archive; irregular names become rejects."""

    licence = LICENCE

    def records(self, source: Path | None, progress: Progress) -> Iterator[DatasetRecord]:
        """Read every image's labels from its name.

        Raises:
            DataError: no image there is named as UTKFace names them.
        """
        classes = {"gender": GENDERS, "race": RACES, "age_group": tuple(AGE_GROUPS)}
        self.labels = LabelSchema(attributes=("Male",), classes=classes)
        tree = open_source(source, "utkface")
        names = tree.images
        self.files = tree.accounted(names)
        self.read_as.append(f"age, gender and race from the images' names ({_PATTERN})")
        if not any(_NAME.fullmatch(PurePosixPath(name).name) for name in names):
            raise DataError(
                f"'{tree.root}' has {len(names)} images and none is named as in UTKFace.",
                hint=f"Looked for {_PATTERN}" + (f"; found for example '{names[0]}'." if names else "."),
            )
        same = Counter(PurePosixPath(name).name for name in names)
        for name in names:
            plain = PurePosixPath(name).name
            id = plain if same[plain] == 1 else name
            found = _NAME.fullmatch(plain)
            age = int(found[1]) if found else -1
            if not found or age > AGE_GROUPS["Senior"]:
                reason = f"irregular name: not {_PATTERN}"
                self.rejects.append(DatasetReject(id, tree.location(name), reason))
                continue
            gender = GENDERS[int(found[2])]
            yield DatasetRecord(
                id=id,
                **tree.record_of(name),
                attributes={"Male": gender == "Male"},
                classes={"gender": gender, "race": RACES[int(found[3])], "age_group": age_group(age)},
                extra={"age": age},
            )


def age_group(age: int) -> str:
    """The class of an age in years, as `AGE_GROUPS` draws the lines."""
    return next(name for name, oldest in AGE_GROUPS.items() if age <= oldest)


build = UtkFace


def recognise(tree: SourceTree) -> Recognition | None:
    """By the names of its images, where nearly all are as UTKFace has them."""
    named = sum(_NAME.fullmatch(PurePosixPath(name).name) is not None for name in tree.images)
    if named < _MOST * len(tree.images) or not named:
        return None
    return Recognition(
        0.95, f"{named:,} of {len(tree.images):,} images are named {_PATTERN}", len(tree.images)
    )
