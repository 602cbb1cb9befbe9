"""How often asked-for attributes came true, as an attribute classifier sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.errors import DataError
from facegen.metrics._bootstrap import ratio_interval

if TYPE_CHECKING:
    import pandas as pd

LogitFunction = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) -> logits (B, A); positive means the attribute is there."""


class Config(KindConfig):
    kind: Literal["attributes"] = "attributes"
    bootstrap_resamples: int = Field(default=1000, ge=100)
    bootstrap_seed: int = Field(default=0, ge=0)


def build(config: Config, *, logits: LogitFunction, attributes: Sequence[str]) -> AttributeAgreement:
    """The agreement of requests with what `logits` sees; `attributes` names its columns."""
    return AttributeAgreement(config, logits, tuple(attributes))


class AttributeAgreement:
    """`Metric` over images and the labels that were asked for (1 yes, 0 no, <NA> not asked).

    An attribute came true if the classifier sees it where asked for, or does not where asked to be absent.
    """

    def __init__(self, config: Config, logits: LogitFunction, attributes: tuple[str, ...]) -> None:
        self._config, self._logits = config, logits
        self.attributes = attributes
        self._asked: list[np.ndarray] = []
        self._seen: list[np.ndarray] = []

    def update(self, images: Tensor, records: pd.DataFrame) -> np.ndarray:
        """Add uint8 images (B, 3, H, W); the columns of `records` hold what was asked for.

        Attributes without a column were not asked for. Returns what was seen, (B, A) bool.
        """
        asked = np.full((len(images), len(self.attributes)), np.nan)
        for index, name in enumerate(self.attributes):
            if name in records.columns:
                asked[:, index] = records[name].astype("Float64").to_numpy(float, na_value=np.nan)
        seen = (self._logits(images) > 0).cpu().numpy()
        self._asked.append(asked)
        self._seen.append(seen)
        return seen

    def compute(self) -> dict[str, Any]:
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
        return {
            "num_images": len(asked),
            "all": self._share(came_true.sum(1), known.sum(1)),
            "present": self._share((came_true & yes).sum(1), yes.sum(1)),
            "absent": self._share((came_true & no).sum(1), no.sum(1)),
            "whole_request": self._share(fulfilled.astype(int), wished.astype(int)),
            "attributes": {
                name: {
                    "asked_yes": _rate(came_true[:, i], yes[:, i]),
                    "asked_no": _rate(came_true[:, i], no[:, i]),
                }
                for i, name in enumerate(self.attributes)
                if known[:, i].any()
            },
        }

    def _share(self, hits: np.ndarray, asked: np.ndarray) -> dict[str, float | int] | None:
        if asked.sum() == 0:
            return None
        low, high = ratio_interval(
            hits, asked, num_resamples=self._config.bootstrap_resamples, seed=self._config.bootstrap_seed
        )
        return {
            "share": float(hits.sum() / asked.sum()),
            "low": low,
            "high": high,
            "num_asked": int(asked.sum()),
        }


def _rate(hits: np.ndarray, asked: np.ndarray) -> dict[str, float | int | None]:
    count = int(asked.sum())
    return {"num_asked": count, "hit_rate": float((hits & asked).sum() / count) if count else None}
