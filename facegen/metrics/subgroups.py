"""Scores for each group of images that were asked for alike: quality, variety and obedience by attribute.

A flaw of one group is, by its share, in every other that has its images: blur on bald heads shows among men.
Which groups are worse off by themselves is therefore asked one by one, the one that stands out most first,
and its images are set aside before the next is looked for. With d the flaw of S, a group G of |S & G| flawed
images stands out by about d |S & G| / sqrt |G| standard errors, which is largest for G = S (Cauchy-Schwarz):
what stands out most is what is flawed, not what holds it. It is matching pursuit over groups (Mallat & Zhang
1993), for the problem of overlapping slices (Chung et al. 2019, Slice Finder, arXiv:1807.06068).

Legend: N judged images, M real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._features import FeatureFunction, ReferenceFeatures, joined
from facegen.metrics._frechet import SAMPLES_PER_FEATURE, FeatureStatistics, frechet_estimate
from facegen.metrics._intervals import Z95, ratio_interval
from facegen.metrics.attributes import labels_of
from facegen.metrics.kid import kernel_estimate
from facegen.metrics.precision_recall import Config as PrecisionConfig
from facegen.metrics.precision_recall import PrecisionRecall

if TYPE_CHECKING:
    import pandas as pd

EVERYONE = "everyone"
SCORES = ("kid", "frechet", "precision", "recall", "accuracy", "real_accuracy")
MIN_SCORED = 16  # images on either side; groups of fewer get no scores
ERROR_RATE = 0.05  # that any group is named where none is worse off
MOST_NAMED = 12


class Config(KindConfig, frozen=True):
    """Groups of fewer than `small_below` images are called small.

    Of either side at most `max_images` a group are compared, drawn with `seed`: pairs of all are looked at.
    """

    kind: Literal["subgroups"] = "subgroups"
    small_below: int = Field(default=50, ge=8)
    max_images: int = Field(default=2000, ge=16)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Group:
    """Images with one label: `value` is "yes" or "no" of an attribute, or a class of a class set."""

    label: str
    value: str

    def members(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows of the frame belong to it, (N,) bool."""
        column = frame[self.label]
        if self.value in ("yes", "no") and str(column.dtype) not in ("string", "object", "str"):
            wanted = 1.0 if self.value == "yes" else 0.0
            values = column.astype("Float64").to_numpy(float, na_value=np.nan)
            return values == wanted
        return (column == self.value).fillna(False).to_numpy(bool)


def groups_of(attributes: Sequence[str], classes: Mapping[str, Sequence[str]]) -> list[Group]:
    """Both sides of every attribute, and every class of every class set."""
    sides = [Group(name, value) for name in attributes for value in ("yes", "no")]
    return sides + [Group(name, value) for name, values in classes.items() for value in values]


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


class SubgroupScores:
    """`Metric` over images and the labels they were asked for with (or that they have): scores of `groups`
    against real images with `reference` features (M, D) and their records.

    `logits` gives what a classifier sees of `attributes`, uint8 (B, 3, H, W) -> (B, A). The images of
    `apart_from`, some of the groups, are set aside like those of groups that are worse off.
    """

    def __init__(
        self,
        config: Config,
        *,
        features: FeatureFunction,
        logits: Callable[[Tensor], Tensor],
        attributes: Sequence[str],
        groups: Sequence[Group],
        reference: Tensor,
        reference_records: pd.DataFrame,
        apart_from: Sequence[Group] = (),
    ) -> None:
        if not set(apart_from) <= set(groups):
            raise ValueError("apart_from names a group that is not scored")
        self._config, self._features, self._logits = config, features, logits
        self._attributes, self._groups = attributes, groups
        self._reference, self._reference_records = reference, reference_records
        self._apart_from = apart_from
        self._seen: list[Tensor] = []
        self._seen_in_real: list[Tensor] = []
        self._collected: list[Tensor] = []
        self._records: list[pd.DataFrame] = []

    def update(self, images: Tensor, records: pd.DataFrame) -> None:
        """Add uint8 images (B, 3, H, W) and their labels."""
        self._collected.append(self._features(images))
        self._seen.append(self._logits(images) > 0)
        self._records.append(records)

    def update_real(self, images: Tensor) -> None:
        """Add the real images uint8 (B, 3, H, W) that the labels belong to, in the same order.

        What the classifier gets right of them is the most that can be asked of the others.
        """
        self._seen_in_real.append(self._logits(images) > 0)

    def compute(self) -> list[dict[str, Any]]:
        """One row a group, everyone first: `{"label", "value", "num_samples", "num_reference", "small",
        "worse_off", "kid", "frechet", "precision", "recall", "accuracy", "real_accuracy", "left_out",
        "apart"}`.

        Each score is `{"value", "low", "high"}` with a 95 % interval, or None where there are too few images,
        `left_out` then says why; `accuracy` is the share of all attributes asked for that came true,
        `real_accuracy` the same of the real images with those labels. `worse_off` is the group's rank among
        those that are worse off than everyone else (1 the clearest; see `standing_out`), else None.

        `apart` has the row's counts and scores once more, of its images that are in no (other) group that is
        worse off or in `apart_from`: what the group owes to nobody but itself. None where it has no images to
        set aside.

        Raises:
            DataError: there were no images.
        """
        import pandas as pd

        features = joined(self._collected)
        frame = pd.concat(self._records, ignore_index=True)
        judged = _Comparison(
            self._config,
            features,
            self._reference,
            self._agreement(frame, self._seen),
            self._agreement(frame, self._seen_in_real) if self._seen_in_real else None,
        )
        everyone = Members(np.ones(len(frame), bool), np.ones(len(self._reference), bool))
        groups = [
            Members(group.members(frame), group.members(self._reference_records)) for group in self._groups
        ]
        worse = standing_out(groups, judged.gap, fewest=self._config.small_below)
        aside = worse + [n for n, group in enumerate(self._groups) if group in self._apart_from]
        rows: list[dict[str, Any]] = []
        for number, members in enumerate([everyone, *groups], start=-1):
            others = [groups[other] for other in dict.fromkeys(aside) if other != number]
            group = None if number < 0 else self._groups[number]
            rows.append(
                {
                    "label": group.label if group else EVERYONE,
                    "value": group.value if group else "",
                    "worse_off": worse.index(number) + 1 if number in worse else None,
                    **judged.scores(members),
                    "apart": (
                        judged.scores(members.without(others)) if any(map(members.overlaps, others)) else None
                    ),
                }
            )
        return rows

    def _agreement(self, frame: pd.DataFrame, parts: list[Tensor]) -> _Answers:
        seen, wanted = torch.cat(parts).cpu().numpy(), labels_of(frame, self._attributes)
        known = ~np.isnan(wanted)
        return _Answers((known & (seen == (wanted > 0.5))).sum(1), known.sum(1))


build = SubgroupScores


@dataclass(frozen=True)
class _Answers:
    """Attributes of each image that came true, and that were asked for, (N,) both."""

    hits: np.ndarray
    asked: np.ndarray

    def lack(self, real: _Answers, members: np.ndarray) -> tuple[float, float]:
        """How much smaller the members' share is than that of the real images, and its standard error.

        The two go in pairs, as both were asked for with the same labels.
        """
        less, asked = (real.hits - self.hits)[members], self.asked[members]
        total = max(int(asked.sum()), 1)
        share = float(less.sum() / total)
        return share, float(np.square(less - share * asked).sum() ** 0.5 / total)


@dataclass(frozen=True)
class _Comparison:
    """Features (N, D) of the judged images beside real ones, (M, D), and what a classifier saw in them and in
    the real ones they were asked from. `distances` keeps kernel distances, which several questions share."""

    config: Config
    features: Tensor
    reference: Tensor
    answers: _Answers
    real_answers: _Answers | None
    distances: dict[tuple[bytes, bytes], tuple[float, float]] = field(
        default_factory=dict[tuple[bytes, bytes], tuple[float, float]]
    )

    def scores(self, members: Members) -> dict[str, Any]:
        """Counts and scores of some of the images; see `SubgroupScores.compute`."""
        config, fewest = self.config, members.fewest
        ours, real = int(members.ours.sum()), int(members.real.sum())
        row: dict[str, Any] = {
            "num_samples": ours,
            "num_reference": real,
            "small": fewest < config.small_below,
            **dict.fromkeys(SCORES),
            "left_out": {},
        }
        for name, answers in (("accuracy", self.answers), ("real_accuracy", self.real_answers)):
            if answers is not None and ours >= MIN_SCORED and answers.asked[members.ours].sum() > 0:
                hits, asked = answers.hits[members.ours], answers.asked[members.ours]
                low, high = ratio_interval(hits, asked, seed=config.seed)
                row[name] = _interval(float(hits.sum() / asked.sum()), low, high)
        if fewest < MIN_SCORED:
            row["left_out"] = {
                "kid, precision, recall": f"{fewest} images on one side; {MIN_SCORED} are needed"
            }
            return row
        distance, error = self._kernel_distance(members)
        row["kid"] = _interval(distance, distance - Z95 * error, distance + Z95 * error)
        # at equal counts, as neighbourhoods of a larger set are tighter
        x, y = self._drawn(members, min(fewest, config.max_images))
        manifolds = PrecisionRecall(PrecisionConfig(), reference=ReferenceFeatures.of(y)).judge(x)
        for name in ("precision", "recall"):
            row[name] = _interval(manifolds[name].value, manifolds[name].low, manifolds[name].high)
        enough = SAMPLES_PER_FEATURE * self.features.shape[1]
        if fewest >= enough:
            x, y = self.features[torch.as_tensor(members.ours)], self.reference[torch.as_tensor(members.real)]
            found = frechet_estimate(FeatureStatistics.of(x), x, FeatureStatistics.of(y), y)
            row["frechet"] = _interval(found.estimate, found.low, found.high)
        else:
            row["left_out"]["frechet"] = f"{fewest:,} images on one side; {enough:,} are needed"
        return row

    def gap(self, inside: Members, outside: Members) -> float:
        """How much farther from real faces, or less obedient than theirs, in standard errors."""
        pairs = [[self._kernel_distance(members) for members in (inside, outside)]]
        if self.real_answers is not None:
            lack, real = self.answers.lack, self.real_answers
            pairs.append([lack(real, members.ours) for members in (inside, outside)])
        return max(
            (value - other) / max((error**2 + other_error**2) ** 0.5, 1e-12)
            for (value, error), (other, other_error) in pairs
        )

    def _kernel_distance(self, members: Members) -> tuple[float, float]:
        """The unbiased kernel distance, which compares between groups of different sizes, and its error."""
        key = members.ours.tobytes(), members.real.tobytes()
        if key not in self.distances:
            self.distances[key] = kernel_estimate(*self._drawn(members, self.config.max_images))
        return self.distances[key]

    def _drawn(self, members: Members, count: int) -> tuple[Tensor, Tensor]:
        """Features of up to `count` of the members on either side: of any two groups, as many of the same
        ones as can be."""

        def some(features: Tensor, of_group: np.ndarray) -> Tensor:
            order = np.random.default_rng(self.config.seed).permutation(len(of_group))
            return features[torch.as_tensor(np.sort(order[of_group[order]][:count]))]

        return some(self.features, members.ours), some(self.reference, members.real)


def _interval(value: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


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
