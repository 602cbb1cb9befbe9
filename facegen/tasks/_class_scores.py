"""Classes as one yes/no target each (one against the rest), and how often the likeliest one is right.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from facegen.nn.multilabel_scores import mean_of, multilabel_scores


def class_targets(values: Iterable[str | None], names: Sequence[str]) -> Tensor:
    """One-vs-rest targets (N, K) float32: 1 the image's class, 0 the others; NaN where it is unknown."""
    index: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    found = torch.tensor([index.get(value, -1) for value in values], dtype=torch.int64)
    targets = torch.nn.functional.one_hot(found.clamp(min=0), len(names)).float()
    targets[found < 0] = torch.nan
    return targets


def class_scores(logits: Tensor, targets: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Scores of the likeliest class: `accuracy`, `balanced_accuracy` (mean recall), `majority`, `classes`.

    Args:
        logits: (N, K); the largest of a row is the answer.
        targets: (N, K) one-hot, or NaN in a whole row that counts nowhere.

    `classes` holds for each class its one-vs-rest scores, with its `recall` and its `share` of the images.
    A recall is None for a class that the images do not have.
    """
    known = ~torch.isnan(targets).any(1)
    truth, answer = targets[known].argmax(1), logits[known].argmax(1)
    right = truth == answer
    each = multilabel_scores(logits, targets, names)
    for number, name in enumerate(names):
        of_class = truth == number
        each[name]["recall"] = float(right[of_class].float().mean()) if of_class.any() else None
        each[name]["share"] = float(of_class.float().mean())
    return {
        "accuracy": float(right.float().mean()),
        "balanced_accuracy": mean_of(each, "recall"),
        "auc": mean_of(each, "auc"),
        "majority": max(float(scores["share"] or 0.0) for scores in each.values()),
        "classes": each,
    }


def class_verdict(scores: dict[str, Any], column: str, num_images: int) -> str:
    """One sentence: how often the class is right, beside what always giving the commonest would score."""
    recalls = {name: one["recall"] for name, one in scores["classes"].items() if one["recall"] is not None}
    worst = min(recalls, key=lambda name: recalls[name])
    sentence = (
        f"'{column}' right on {scores['accuracy']:.1%} of {num_images:,} held-out images, {len(recalls)} "
        f"classes (always the commonest: {scores['majority']:.1%}); weakest: {worst} {recalls[worst]:.1%}."
    )
    better = scores["accuracy"] > scores["majority"]
    return sentence if better else f"No better than always the commonest class: {sentence}"
