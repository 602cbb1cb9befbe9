"""Judging as pure functions of features, answers and labels: no files, networks or models here.

A module is a kind; what kinds and those who ask them share is offered here.
"""

from facegen.metrics._colour import NUM_COLOURS, Shift, colour_remark, colour_shifts, colours_of
from facegen.metrics._features import FeatureFunction, FeatureMetric, ReferenceFeatures, Score
from facegen.metrics._frechet import FeatureStatistics, FrechetEstimate, frechet_distance, frechet_estimate
from facegen.metrics._intervals import Z95, Share, pooled_share, ratio_interval, share_of, wilson_interval

__all__ = [
    "NUM_COLOURS",
    "Z95",
    "FeatureFunction",
    "FeatureMetric",
    "FeatureStatistics",
    "FrechetEstimate",
    "ReferenceFeatures",
    "Score",
    "Share",
    "Shift",
    "colour_remark",
    "colour_shifts",
    "colours_of",
    "frechet_distance",
    "frechet_estimate",
    "pooled_share",
    "ratio_interval",
    "share_of",
    "wilson_interval",
]
