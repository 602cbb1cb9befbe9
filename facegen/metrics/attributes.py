"""How often asked-for attributes came true, as an attribute classifier sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np
import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.formats.influences import Influence
from facegen.metrics._intervals import Share, pooled_share, resamples, tails

if TYPE_CHECKING:
    import pandas as pd

LogitFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> logits (B, A); positive means the attribute is there."""


class AskedShare(Share):
    """A share of `num_asked` wishes."""

    num_asked: int


class Rate(TypedDict):
    """How often an attribute came true where it was asked for one way; None if never asked."""

    num_asked: int
    hit_rate: float | None


class Agreement(TypedDict):
    """What `AttributeAgreement.compute` says; `attributes` has `asked_yes` and `asked_no` of each."""

    num_images: int
    all: AskedShare
    present: AskedShare | None
    absent: AskedShare | None
    whole_request: AskedShare
    attributes: dict[str, dict[Literal["asked_yes", "asked_no"], Rate]]


class Config(KindConfig, frozen=True):
    kind: Literal["attributes"] = "attributes"


class AttributeAgreement:
    """`Metric` over images and the labels that were asked for (1 yes, 0 no, <NA> not asked).

    An attribute came true if the classifier, whose `logits` have a column for each of `attributes`, sees it
    where asked for, or does not where asked to be absent.
    """

    def __init__(self, config: Config, *, logits: LogitFunction, attributes: Sequence[str]) -> None:
        self._logits, self.attributes = logits, tuple(attributes)
        self._asked: list[np.ndarray] = []
        self._seen: list[np.ndarray] = []
        self._counted: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def influences(self) -> dict[str, Influence]:
        """What each image does to the shares that `compute` said, by their names."""
        return {
            name: Influence.of_ratio(torch.as_tensor(hits), torch.as_tensor(asked))
            for name, (hits, asked) in self._counted.items()
        }

    def update(self, images: Tensor, records: pd.DataFrame) -> np.ndarray:
        """Add uint8 images (B, 3, H, W); the columns of `records` hold what was asked for.

        Attributes without a column were not asked for. Returns what was seen, (B, A) bool.
        """
        seen = (self._logits(images) > 0).cpu().numpy()
        self._asked.append(labels_of(records, self.attributes))
        self._seen.append(seen)
        return seen

    def compute(self) -> Agreement:
        """Shares with 95 % bootstrap intervals over images, and per attribute both ways of asking.

        `all`: share of everything asked that came true; `present`: of attributes asked to be there;
        `absent`: of those asked not to be; `whole_request`: of images with every wish fulfilled. Each is
        `{"share", "low", "high", "num_asked"}`, or None if nothing of the kind was asked.

        Raises:
            DataError: nothing was asked for.
        """
        if not self._asked:
            raise DataError("There are no images to judge.")
        asked, seen = np.concatenate(self._asked), np.concatenate(self._seen)
        known = ~np.isnan(asked)
        if not known.any():
            raise DataError("No attribute that the classifier knows was asked for.")
        came_true = known & (seen == (asked > 0.5))
        yes, no = asked == 1, asked == 0
        wished = known.any(axis=1)
        fulfilled = wished & (came_true == known).all(axis=1)
        counted: dict[str, tuple[np.ndarray, np.ndarray]] = {
            "all": (came_true.sum(1), known.sum(1)),
            "present": ((came_true & yes).sum(1), yes.sum(1)),
            "absent": ((came_true & no).sum(1), no.sum(1)),
            "whole_request": (fulfilled.astype(int), wished.astype(int)),
        }
        self._counted = {name: pair for name, pair in counted.items() if pair[1].any()}
        return {
            "num_images": len(asked),
            "all": _share(*counted["all"]),
            "present": _share(*counted["present"]) if yes.any() else None,
            "absent": _share(*counted["absent"]) if no.any() else None,
            "whole_request": _share(*counted["whole_request"]),
            "attributes": {
                name: {
                    "asked_yes": _rate(came_true[:, i], yes[:, i]),
                    "asked_no": _rate(came_true[:, i], no[:, i]),
                }
                for i, name in enumerate(self.attributes)
                if known[:, i].any()
            },
        }


build = AttributeAgreement


def labels_of(records: pd.DataFrame, attributes: Sequence[str]) -> np.ndarray:
    """Labels (N, A) as numbers, 1 yes, 0 no; NaN where unknown or where there is no such column."""
    columns = records.reindex(columns=list(attributes)).astype("Float64")
    return columns.to_numpy(float, na_value=np.nan)


def _share(hits: np.ndarray, asked: np.ndarray) -> AskedShare:
    return {**pooled_share(hits, asked), "num_asked": int(asked.sum())}


def _rate(hits: np.ndarray, asked: np.ndarray) -> Rate:
    count = int(asked.sum())
    return {"num_asked": count, "hit_rate": float((hits & asked).sum() / count) if count else None}


def kept_attributes(
    labels: np.ndarray, seen: np.ndarray, names: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Per attribute with known labels, how often a sample shows what the photo behind it is labelled with.

    `agreement` is that share. `chance` is its exact expectation if the photos were permuted at random:
    p q + (1 - p)(1 - q) for the rates p of the labels and q of what was seen. `margin` is the difference.
    Each has a 95 % interval of the bootstrap over images (Efron 1979); a `margin_low` above 0 is better than
    chance.

    Args:
        labels: (N, A) 1 yes, 0 no, NaN unknown.
        seen: (N, A) bool, the classifier's answers.
    """
    report: dict[str, dict[str, float]] = {}
    for column, name in enumerate(names):
        known = ~np.isnan(labels[:, column])
        if known.any():
            report[name] = _kept(labels[known, column] == 1, seen[known, column], seed)
    return report


def _kept(label: np.ndarray, seen: np.ndarray, seed: int) -> dict[str, float]:
    count = len(label)
    weights = np.concatenate([np.ones((1, count)), resamples(count, seed=seed)])  # the data themselves first
    agreement, p, q = (weights @ values / count for values in (label == seen, label, seen))
    chance = p * q + (1 - p) * (1 - q)
    row: dict[str, float] = {"num_images": count}
    for key, values in (("agreement", agreement), ("chance", chance), ("margin", agreement - chance)):
        low, high = np.quantile(values[1:], tails(count))
        row |= {key: float(values[0]), f"{key}_low": float(low), f"{key}_high": float(high)}
    return row
