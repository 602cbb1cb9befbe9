"""How well a classifier tells labels of real images: balanced accuracy and AUC with intervals, calibration.

Legend: N images, A labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from facegen.config.kinds import KindConfig
from facegen.metrics._intervals import Z95, wilson_interval
from facegen.nn.calibration import calibration_error
from facegen.nn.multilabel_scores import area_under_roc, label_scores


class Config(KindConfig, frozen=True):
    kind: Literal["classification"] = "classification"


class Classification:
    """Gathers answers about `labels`, in the order of the columns, and truth, and scores each label."""

    def __init__(self, config: Config, *, labels: Sequence[str]) -> None:
        self._labels = labels
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def update(self, evidence: Tensor, probabilities: Tensor, targets: Tensor) -> None:
        """Add images: evidence (N, A), positive for yes; probabilities of yes; 1, 0 or NaN for unknown."""
        self._parts.append((evidence, probabilities, targets))

    def compute(self) -> dict[str, dict[str, Any]]:
        """Scores by label: those of `label_scores`, `calibration_error`, and 95 % intervals.

        `balanced_accuracy_interval` is of two independent shares (Newcombe 1998, method 10, of the mean);
        `auc_interval` by DeLong et al. 1988, on the logit scale so that it stays within 0 and 1. None where
        the targets hold one value only.
        """
        columns = (torch.cat(parts).unbind(1) for parts in zip(*self._parts, strict=True))
        return {name: _label(*of_label) for name, *of_label in zip(self._labels, *columns, strict=True)}


build = Classification


def _label(evidence: Tensor, probabilities: Tensor, targets: Tensor) -> dict[str, Any]:
    known = ~torch.isnan(targets)
    positive = targets[known] > 0.5
    both = 0 < int(positive.sum()) < len(positive)
    return {
        **label_scores(evidence, targets),
        "calibration_error": calibration_error(probabilities, targets),
        "balanced_accuracy_interval": _mean_interval(evidence[known] > 0, positive) if both else None,
        "auc_interval": auc_interval(evidence[known].double(), positive) if both else None,
    }


def auc_interval(scores: Tensor, positive: Tensor) -> tuple[float, float]:
    """95 % interval of the AUC (DeLong, DeLong & Clarke-Pearson 1988), on the logit scale.

    Args:
        scores: (N,) float.
        positive: (N,) bool with at least one True and one False. With one of either the interval is (0, 1).
    """
    yes, no = scores[positive], scores[~positive]
    auc = area_under_roc(scores, positive)
    if min(len(yes), len(no)) < 2:
        return 0.0, 1.0
    comparisons = (yes[:, None] > no[None]).double() + 0.5 * (yes[:, None] == no[None]).double()
    variance = comparisons.mean(1).var() / len(yes) + comparisons.mean(0).var() / len(no)
    if auc in (0.0, 1.0) or float(variance) == 0:
        # No pair in the wrong order: what 0 of the smaller group's members allow (rule of three, exact).
        slack = 1 - 0.025 ** (1 / min(len(yes), len(no)))
        return (1 - slack, 1.0) if auc > 0.5 else (0.0, slack)
    spread = Z95 * float(variance) ** 0.5 / (auc * (1 - auc))
    middle = torch.logit(torch.tensor(auc, dtype=torch.float64))
    low, high = torch.sigmoid(middle - spread), torch.sigmoid(middle + spread)
    return float(low), float(high)


def _mean_interval(says_yes: Tensor, positive: Tensor) -> tuple[float, float]:
    """Interval of the mean of sensitivity and specificity, from Wilson's of each (Newcombe 1998)."""
    low = high = mean = 0.0
    for of_group, right in ((positive, says_yes), (~positive, ~says_yes)):
        hits, count = int((of_group & right).sum()), int(of_group.sum())
        share = hits / count
        bottom, top = wilson_interval(hits, count)
        mean += share / 2
        low += ((share - bottom) / 2) ** 2
        high += ((top - share) / 2) ** 2
    return mean - low**0.5, mean + high**0.5
