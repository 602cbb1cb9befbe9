"""Which groups are worse off by themselves, where groups share images.

A flaw of one group is, by its share, in every other that has its images: blur on bald heads shows among
men. Groups are therefore picked one by one, the one that stands out most first, and its images are set aside
before the next is looked for. With d the flaw of S, a group G of |S & G| flawed images stands out by about
d |S & G| / sqrt |G| standard errors, which is largest for G = S (Cauchy-Schwarz): what stands out most is
what is flawed, not what holds it. It is matching pursuit over groups (Mallat & Zhang 1993), for the problem
of overlapping slices (Chung et al. 2019, Slice Finder, arXiv:1807.06068).

Legend: N judged images, M real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

ERROR_RATE = 0.05  # that any group is named where none is worse off
MOST_NAMED = 12


@dataclass(frozen=True)
class Members:
    """Images of a group: `ours` (N,) and `real` (M,), both bool."""

    ours: np.ndarray
    real: np.ndarray

    @property
    def fewest(self) -> int:
        """The count on the smaller side."""
        return int(min(self.ours.sum(), self.real.sum()))

    def without(self, others: Sequence[Members]) -> Members:
        """Those that are in none of `others`."""
        ours, real = self.ours.copy(), self.real.copy()
        for other in others:
            ours &= ~other.ours
            real &= ~other.real
        return Members(ours, real)

    def overlaps(self, other: Members) -> bool:
        return bool((self.ours & other.ours).any() or (self.real & other.real).any())


Gap = Callable[[Members, Members], float]
"""By how many standard errors the first images are worse off than the second; -inf where unknown."""


def standing_out(groups: Sequence[Members], gap: Gap, *, fewest: int) -> list[int]:
    """Numbers of the groups that are worse off than everyone else, the clearest first.

    Each is compared with all images outside it; both need `fewest` images. A group stays in the list only if
    it is worse off without the images of the others, too. The threshold is Bonferroni's for all `groups`, so
    that with none worse off, any is named in at most 5 % of cases.
    """
    threshold = NormalDist().inv_cdf(1 - ERROR_RATE / max(1, len(groups)))

    def clearness(number: int, others: Sequence[int]) -> float:
        aside = [groups[other] for other in others]
        group = groups[number]
        inside, outside = group.without(aside), Members(~group.ours, ~group.real).without(aside)
        if min(inside.fewest, outside.fewest) < fewest:
            return float("-inf")
        return gap(inside, outside)

    found: list[int] = []
    candidates = list(range(len(groups)))
    while candidates and len(found) < MOST_NAMED:
        clear = {number: clearness(number, found) for number in candidates}
        best = max(clear, key=lambda number: clear[number])
        if clear[best] <= threshold:
            break
        found.append(best)
        # setting images aside explains what is clear, it seldom makes clear what was not
        candidates = [number for number in candidates if number != best and clear[number] > threshold]
    for number in reversed(found[:]):
        others = [other for other in found if other != number]
        if others and clearness(number, others) <= threshold:
            found.remove(number)
    return found
