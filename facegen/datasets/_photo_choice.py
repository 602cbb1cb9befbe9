"""Which of the faces that were found are used, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.datasets._photo_search import HASH_SIDE, SeenFace, SeenPhoto

DOUBLE_BITS = 48
"""Hashes that differ in as many of 256 bits or fewer are one picture. Of 80,000 pairs of people the nearest
two differed in 66; copies that were saved again, scaled or brightened mostly in 8 to 64."""
HASH_WORDS = HASH_SIDE**2 // 64
_ROWS = 512  # compared at once


@dataclass(frozen=True)
class Rules:
    """`min_face` is the least size of a face in pixels of the photo; None where nothing is to be enlarged."""

    faces: Literal["all", "largest"]
    min_face: int | None
    min_sharpness: float
    size: int
    excluded: Collection[str]


def face_id(photo: str, number: int) -> str:
    """The name of a face; number 1 is the largest of its photo."""
    return f"{photo}#{number}"


def choose(photos: Mapping[str, SeenPhoto], rules: Rules) -> dict[str, str]:
    """Of every face by its name why it is left out, "" where it is used.

    Of doubles the largest face is used, then the sharpest, then the first.
    """
    seen = {
        face_id(photo, number): (photo, number, face)
        for photo, each in photos.items()
        for number, face in enumerate(each.faces, start=1)
    }
    reasons = {id: _why_not(*found, rules) for id, found in seen.items()}
    left = {id: found[2] for id, found in seen.items() if not reasons[id]}
    return reasons | {id: f"face double: of {first}" for id, first in doubles(left).items()}


def _why_not(photo: str, number: int, face: SeenFace, rules: Rules) -> str:
    if face_id(photo, number) in rules.excluded or photo in rules.excluded:
        return "face excluded: by --exclude"
    if rules.faces == "largest" and number > 1:
        return "face not the largest: of its photo"
    if face.cut_off:
        return "face cut off: by the photo's edge"
    if rules.min_face is not None and face.pixels < rules.min_face:
        return f"face too small: {face.pixels:.0f} pixels, {rules.min_face} are needed"
    if rules.min_face is None and round(face.square.side) < rules.size:
        needed = face.pixels * rules.size / face.square.side
        return f"face too small: {face.pixels:.0f} pixels, {needed:.0f} are needed (less with --min-face)"
    if face.sharpness < rules.min_sharpness:
        return f"face blurred: sharpness {face.sharpness:.3f}, {rules.min_sharpness:g} is needed"
    return ""


def doubles(faces: Mapping[str, SeenFace]) -> dict[str, str]:
    """Face -> the better one that shows the same picture."""
    ids = list(faces)
    order = sorted(range(len(ids)), key=lambda i: (-faces[ids[i]].pixels, -faces[ids[i]].sharpness, i))
    words = np.array([_words(faces[ids[i]].hash) for i in order]).reshape(-1, HASH_WORDS)
    found: dict[int, int] = {}
    for start in range(0, len(order), _ROWS):
        rows = words[start : start + _ROWS]
        differing = [np.bitwise_count(rows[:, None, k] ^ words[None, :, k]) for k in range(HASH_WORDS)]
        near = np.sum(differing, axis=0) <= DOUBLE_BITS
        for row, column in np.argwhere(near).tolist():
            better = start + row
            if better < column and better not in found:
                found.setdefault(column, better)
    return {ids[order[worse]]: ids[order[better]] for worse, better in found.items()}


def _words(hash: str) -> NDArray[np.uint64]:
    return np.frombuffer(bytes.fromhex(hash), np.uint64)


def told(reasons: Sequence[str]) -> str:
    """ "3 no face, 2 face too small": how often which."""
    counted = Counter(reason.split(":")[0] for reason in reasons).most_common()
    return ", ".join(f"{count:,} {what}" for what, count in counted)
