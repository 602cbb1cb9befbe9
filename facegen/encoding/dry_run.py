"""What encoding would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from facegen.encoding.encode import encode, encoding_job
from facegen.encoding.options import EncodeOptions
from facegen.forecast import Forecast, forecast
from facegen.progress import SilentProgress

FIRST_BATCHES = 2


def encoding_forecast(
    dataset: Path | str, autoencoder: str, options: EncodeOptions | None = None
) -> Forecast:
    """What `encode` would take into an empty folder, from encoding a few images; nothing stays of them.

    Raises:
        FacegenError: as `encode` does.
    """
    options = options or EncodeOptions()
    job = encoding_job(dataset, autoencoder, Path(), options, SilentProgress())
    counts = [*job.counts.values()]
    first = max(1, min(FIRST_BATCHES * job.batch_size, sum(counts) // 4))
    work = partial(_encode_some, dataset, autoencoder, options, counts)
    return forecast(work, "images", sum(counts), first, held=job.shard_size)


def _encode_some(
    dataset: Path | str,
    autoencoder: str,
    options: EncodeOptions,
    counts: Sequence[int],
    count: int,
    out: Path,
) -> None:
    """Encode `count` of the images, and as many more as it takes for every split to have as many."""
    limit = 1
    while sum(min(one, limit) for one in counts) < count:
        limit += 1
    encode(dataset, autoencoder, out, replace(options, limit=limit), SilentProgress())
