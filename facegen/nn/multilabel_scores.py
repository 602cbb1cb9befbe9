"""How well logits tell binary labels apart: accuracy, balanced accuracy and AUC per label.

Legend: N images, A attributes. Targets hold 1 yes, 0 no and NaN unknown; unknowns count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Scores = dict[str, float | int | None]


def multilabel_scores(
    logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"], names: Sequence[str]
) -> dict[str, Scores]:
    """Per attribute: accuracy, balanced accuracy, AUC, majority (share of the commoner value) and counts.

    Positive logits mean yes. A score that the targets do not define (no known label; one value only) is None.
    """
    return {name: label_scores(logits[:, i], targets[:, i]) for i, name in enumerate(names)}


def label_scores(logits: Float[Tensor, " N"], targets: Float[Tensor, " N"]) -> Scores:
    """The scores of one label."""
    known = ~torch.isnan(targets)
    scores, positive = logits[known].double(), targets[known] > 0.5
    num_known, num_positive = int(known.sum()), int(positive.sum())
    num_negative = num_known - num_positive
    says_yes = scores > 0
    hits = int((says_yes & positive).sum())
    rejections = int((~says_yes & ~positive).sum())
    sensitivity = hits / num_positive if num_positive else None
    specificity = rejections / num_negative if num_negative else None
    balanced = None
    if sensitivity is not None and specificity is not None:
        balanced = (sensitivity + specificity) / 2
    return {
        "accuracy": (hits + rejections) / num_known if num_known else None,
        "balanced_accuracy": balanced,
        "auc": area_under_roc(scores, positive) if balanced is not None else None,
        "majority": max(num_positive, num_negative) / num_known if num_known else None,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "num_known": num_known,
        "num_positive": num_positive,
    }


def area_under_roc(scores: Float[Tensor, " N"], positive: Bool[Tensor, " N"]) -> float:
    """Probability that a positive outscores a negative, ties half (Mann-Whitney U / (n+ n-)).

    There must be one of either.
    """
    from scipy.stats import mannwhitneyu

    yes, no = scores[positive].cpu().numpy(), scores[~positive].cpu().numpy()
    return float(mannwhitneyu(yes, no, method="asymptotic").statistic) / (len(yes) * len(no))


def mean_of(scores: dict[str, Scores], key: str) -> float | None:
    """Mean of one score over the attributes that have it, or None if none has."""
    return mean_known([entry[key] for entry in scores.values()])


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean of those that are not None; None where there are none."""
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None
