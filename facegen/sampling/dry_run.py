"""What drawing faces would take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from facegen.forecast import Forecast, forecast
from facegen.progress import SilentProgress
from facegen.sampling.options import SampleOptions
from facegen.sampling.plan import GRID_IMAGES, IMAGES, VARIATIONS, WALKS
from facegen.sampling.sample import check_sampling, sample
from facegen.sampling.work import check_out

FIRST = GRID_IMAGES  # two batches on a CPU, and a grid that grows no more


def sampling_forecast(run: Path | str, options: SampleOptions | None = None) -> Forecast:
    """What `sample` would take, from drawing a few; nothing stays of them.

    Raises:
        FacegenError: as `sample` does.
    """
    options = options or SampleOptions()
    check_sampling(options)
    if options.out is not None:
        check_out(options.out)
    usual = WALKS if options.between else VARIATIONS if options.like else IMAGES
    count = usual if options.count is None else options.count
    first = min(max(FIRST, options.batch_size or 0), max(1, count // 4))
    what = "walks" if options.between else "variations of each photo" if options.like else "images"
    return forecast(partial(_draw, run, options), what, count, first)


def _draw(run: Path | str, options: SampleOptions, count: int, out: Path) -> None:
    sample(run, replace(options, count=count, out=out), SilentProgress())
