"""Logits made into probabilities that can be taken at their word, by Platt scaling of each output.

Platt 1999, "Probabilistic outputs for support vector machines"; Guo et al. 2017 (arXiv:1706.04599) for
networks. Legend: N images, A outputs. Targets hold 1 yes, 0 no and NaN unknown; unknowns count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NEWTON_STEPS = 50
PRIOR_STD = 2.0  # of log scale's stand-in (scale - 1) and of offset: few images hardly move them
SMALLEST_SCALE = 0.05  # an output may not be turned around
NUM_FOLDS = 5
NUM_BINS = 15
KEYS = ("scale", "offset", "log_odds")
Answers = Float[Tensor, "N A"]
OfEach = Float[Tensor, " A"]


@dataclass(frozen=True)
class Calibration:
    """Scale and offset of each logit, and the log odds of yes in the images it was fitted on."""

    scale: OfEach
    offset: OfEach
    log_odds: OfEach

    def probabilities(self, logits: Answers) -> Answers:
        """Probability of yes for images in which yes is as frequent as where it was fitted."""
        return torch.sigmoid(self.scale * logits + self.offset)

    def evidence(self, logits: Answers) -> Answers:
        """Log likelihood ratio of yes to no; positive where the image speaks for yes.

        The base rate is taken off (Menon et al. 2021, arXiv:2007.07314, section 4): a rare attribute is not
        denied because it is rare, so generated faces can be asked for it as often as one likes.
        """
        return self.scale * logits + self.offset - self.log_odds

    def entries(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Plain numbers for each output, as `calibration_of` reads them."""
        columns = {key: getattr(self, key).tolist() for key in KEYS}
        return {name: {key: columns[key][i] for key in KEYS} for i, name in enumerate(names)}


def calibration_of(entries: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Calibration:
    """The calibration that `entries` hold by output; one that was never fitted leaves logits as they are."""

    def column(key: str, missing: float) -> OfEach:
        return torch.tensor([entries.get(name, {}).get(key, missing) for name in names])

    return Calibration(column("scale", 1.0), column("offset", 0.0), column("log_odds", 0.0))


def fit_calibration(logits: Answers, targets: Answers) -> Calibration:
    """Scale and offset of each output with the likeliest targets, by Newton's method in float64.

    A normal prior around "as they are" keeps them finite where the logits separate the targets
    (scikit-learn's logistic regression has none around a scale of 1).
    """
    known = (~torch.isnan(targets)).double()
    yes, z = torch.nan_to_num(targets).double(), logits.double()
    scale, offset = torch.ones(z.shape[1]).double(), torch.zeros(z.shape[1]).double()
    precision = 1 / PRIOR_STD**2
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(scale * z + offset)
        error, curvature = known * (p - yes), known * p * (1 - p)
        slope_a = (error * z).sum(0) + precision * (scale - 1)
        slope_b = error.sum(0) + precision * offset
        aa = (curvature * z * z).sum(0) + precision
        ab = (curvature * z).sum(0)
        bb = curvature.sum(0) + precision
        determinant = aa * bb - ab * ab
        scale = scale - ((bb * slope_a - ab * slope_b) / determinant).clamp(-1, 1)
        offset = offset - ((aa * slope_b - ab * slope_a) / determinant).clamp(-2, 2)
    num_yes = (known * yes).sum(0)
    log_odds = torch.log((num_yes + 1) / (known.sum(0) - num_yes + 1))
    return Calibration(scale.clamp(min=SMALLEST_SCALE).float(), offset.float(), log_odds.float())


def cross_fitted(logits: Answers, targets: Answers) -> tuple[Answers, Answers]:
    """Probabilities and evidence, of each image by a calibration that was fitted without it."""
    probabilities, evidence = torch.empty_like(logits), torch.empty_like(logits)
    num_folds = min(NUM_FOLDS, max(2, len(logits)))
    for number in range(num_folds):
        here = torch.arange(len(logits)) % num_folds == number
        calibration = fit_calibration(logits[~here], targets[~here])
        probabilities[here] = calibration.probabilities(logits[here])
        evidence[here] = calibration.evidence(logits[here])
    return probabilities, evidence


def calibration_error(probabilities: Float[Tensor, " N"], targets: Float[Tensor, " N"]) -> float | None:
    """Mean gap between probability and frequency over 15 equal bins, weighted by images (Guo et al. eq. 3).

    None if all targets are unknown.
    """
    known = ~torch.isnan(targets)
    if not known.any():
        return None
    p, yes = probabilities[known].double(), targets[known].double()
    bins = (p * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    gaps = torch.zeros(NUM_BINS).double().index_add_(0, bins, p - yes)
    return float(gaps.abs().sum() / len(p))
