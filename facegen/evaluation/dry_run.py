"""What judging how close images are to real ones would take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from facegen.caches import CACHE_VARIABLE
from facegen.evaluation.distribution import judgement, selection_of
from facegen.evaluation.features import MIN_SAMPLES
from facegen.evaluation.judged_images import open_judged
from facegen.evaluation.options import DistributionOptions
from facegen.forecast import Forecast, forecast
from facegen.formats.dataset import Dataset
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress

FIRST = 64


def evaluation_forecast(
    subject: Path | str,
    reference: Path | str,
    metrics: Sequence[str] | None = None,
    options: DistributionOptions | None = None,
) -> Forecast:
    """What `evaluate` would take as long as no features are kept of its images; from judging a few of them
    against as small a share of the real ones. Nothing stays of them.

    Raises:
        FacegenError: as `evaluate` does.
    """
    options, dataset = options or DistributionOptions(), Dataset.open(reference)
    if options.num_samples is None:
        device = resolve_device(options.device)
        judged = open_judged(Path(subject), selection_of(dataset, options), device, SilentProgress())
        options = replace(options, num_samples=len(judged))
    count, real = options.num_samples or 0, len(dataset.split(options.split))
    work = partial(_judge_some, subject, reference, metrics, options, real / count)
    return forecast(work, "images", count, max(MIN_SAMPLES, min(FIRST, count // 4)))


def _judge_some(
    subject: Path | str,
    reference: Path | str,
    metrics: Sequence[str] | None,
    options: DistributionOptions,
    real_each: float,
    count: int,
    out: Path,
) -> None:
    os.environ[CACHE_VARIABLE] = str(out)
    real = max(MIN_SAMPLES, round(real_each * count))
    judgement(subject, reference, metrics, replace(options, num_samples=count), real_images=real)
