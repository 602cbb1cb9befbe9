"""`facegen encode`: from a prepared data set and an autoencoder to a folder of latents."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facegen.autoencoders import load_autoencoder
from facegen.encoding.job import EncodingJob
from facegen.encoding.options import EncodeOptions
from facegen.encoding.scaling import measured_scaling, model_scaling
from facegen.encoding.shards import STATE_FILE, EncodingState, batches, moments, write_shards
from facegen.encoding.tables import remove_other_tables, tables_are_in, with_tables
from facegen.errors import UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.files import storage_errors
from facegen.formats.latents import (
    AUTOENCODER_FOLDER,
    INDEX_FILE,
    LatentIndex,
    LatentStore,
    write_index,
    write_records,
)
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.types import LatentScaling

MEASURED_BATCHES = 3  # of a dry run, after one to warm up
MADE_HERE = (  # first the files that call the folder whole
    INDEX_FILE,
    STATE_FILE,
    "latents-*.safetensors",
    "records-*.parquet",
    "text_embeddings-*",
    "image_features-*",
    ".*.tmp",
)


@dataclass(frozen=True)
class EncodeSummary:
    """What was made; of a dry run, what would be (`size_bytes` and `seconds` are then estimates)."""

    out: str
    counts: dict[str, int]
    sample_shape: tuple[int, ...]
    autoencoder: dict[str, Any]
    size_bytes: int
    seconds: float
    images_encoded: int
    dry_run: bool = False
    scaling_shift: tuple[float, ...] | None = None
    scaling_scale: tuple[float, ...] | None = None
    unique_captions: int | None = None

    @property
    def images_per_second(self) -> float:
        return self.images_encoded / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "images_per_second": round(self.images_per_second, 1)}


def encode(
    dataset: Path | str,
    autoencoder: str,
    out: Path | str,
    options: EncodeOptions | None = None,
    progress: Progress | None = None,
) -> EncodeSummary:
    """Encode every split of the data set in `dataset` into the latent folder `out`.

    Interrupted, the same command goes on where it stopped and makes the same bytes.

    Raises:
        UsageError: sizes that do not divide, wrong options, an autoencoder without a scaling of its own
            where that is asked for, or `out` holds something else or other latents.
        MissingModelError: the autoencoder or text encoder is not to be had.
        DataError: `dataset` is not a data set, or was changed after it was prepared.
        StorageError: the disk is full or may not be written, or finished latents are damaged.
    """
    options, progress = options or EncodeOptions(), progress or SilentProgress()
    for name in ("batch_size", "shard_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
    source, device = Dataset.open(dataset), resolve_device(options.device)
    loaded = load_autoencoder(autoencoder, device)
    if options.scaling == "model":
        model_scaling(loaded)  # refuses before anything is made
    job = EncodingJob(source, loaded, Path(out), options, device, progress)
    return _estimated(job) if options.dry_run else _encoded(job)


def _encoded(job: EncodingJob) -> EncodeSummary:
    started = time.perf_counter()
    state, finished = _taken_up(job)
    if finished is not None and tables_are_in(job, finished):
        job.progress.say(f"'{job.out}' already holds these latents; nothing to do.")
        return _summary(job, finished, 0, started)
    with job.progress.stage("Checking the data set"):
        job.dataset.verify()
    todo = 0 if finished is not None else write_shards(job, state)
    index = with_tables(job, finished or _index(job, state))
    write_index(job.out, index)
    with storage_errors(job.out):
        (job.out / STATE_FILE).unlink(missing_ok=True)
    remove_other_tables(job, index)
    return _summary(job, index, todo, started)


def _estimated(job: EncodingJob) -> EncodeSummary:
    """Size and seconds of the whole, from encoding a few batches; nothing is written."""
    shard = job.shards[0]
    shard = replace(shard, stop=min(shard.stop, job.options.batch_size * (MEASURED_BATCHES + 1)))
    measured, started = 0, time.perf_counter()
    for start, batch in batches(job, shard):
        moments(job, batch)
        if start == 0 and shard.count > len(batch):
            started = time.perf_counter()
        else:
            measured += len(batch)
    total = sum(job.counts.values())
    return EncodeSummary(
        out=str(job.out),
        counts=job.counts,
        sample_shape=job.shape,
        autoencoder=job.loaded.reference(),
        size_bytes=total * job.image_bytes,
        seconds=(time.perf_counter() - started) / measured * total,
        images_encoded=total,
        dry_run=True,
    )


def _taken_up(job: EncodingJob) -> tuple[EncodingState, LatentIndex | None]:
    """The state to go on from, and the index of finished latents; refuses a folder of anything else."""
    finished, unfinished = (job.out / INDEX_FILE).is_file(), (job.out / STATE_FILE).is_file()
    state = EncodingState(job.plan)
    if not (finished or unfinished):
        if job.out.exists() and (job.out.is_file() or any(job.out.iterdir())):
            raise UsageError(f"'{job.out}' is not empty and holds no latents.", hint="Choose another --out.")
    elif not job.options.resume:
        _remove_latents(job.out)
    elif finished:
        index = LatentStore.open(job.out, verify=True).index
        _refuse_other(job, index.transform["plan"])
        return state, index
    else:
        state = EncodingState.read(job.out)
        _refuse_other(job, state.plan)
        for leftover in job.out.glob(".*.tmp"):
            leftover.unlink()
        for name in state.drop_damaged(job.out):
            job.progress.warn(f"'{job.out / name}' was damaged since it was written; it is encoded again.")
        return state, None
    state.write(job.out)
    return state, None


def _refuse_other(job: EncodingJob, plan: dict[str, Any]) -> None:
    old, new = {"scaling": "measured", **plan}, job.plan  # measured: from before there was a choice
    different = [name for name in new if old.get(name) != new[name]]
    if different:
        told = "; ".join(
            f"{name} {_short(old.get(name))} there, {_short(new[name])} now" for name in different
        )
        raise UsageError(
            f"'{job.out}' was encoded differently: {told}.",
            hint=f"Make it anew: facegen encode {job.dataset.folder} --autoencoder {job.loaded.source} "
            f"--out {job.out} --afresh\nor choose another --out.",
        )


def _index(job: EncodingJob, state: EncodingState) -> LatentIndex:
    """The index of latents whose shards are all there; the autoencoder and the labels are put beside them."""
    manifest = job.dataset.manifest
    if job.loaded.is_local:
        job.loaded.save(job.out / AUTOENCODER_FOLDER)
    records = {
        name: write_records(job.out, name, job.dataset.split(name).frame.iloc[:count])
        for name, count in job.counts.items()
    }
    scaling, measured_on = _scaling(job, state)
    return LatentIndex(
        sample_shape=job.shape,
        scaling=scaling,
        labels=manifest.labels,
        image_size=manifest.image_size,
        flips=job.options.flips,
        autoencoder=job.loaded.reference(),
        dataset_fingerprint=manifest.fingerprint,
        transform={
            "plan": state.plan,
            "stored_dtype": "float16",
            "scaling": job.options.scaling,
            "scaling_split": measured_on,
            "source": {"kind": manifest.kind, **manifest.source},
        },
        shards={
            name: tuple(state.files[shard.name] for shard in job.shards if shard.split == name)
            for name in job.counts
        },
        records=records,
    )


def _scaling(job: EncodingJob, state: EncodingState) -> tuple[LatentScaling, str | None]:
    """The scaling chosen, and the split it was measured on."""
    if job.options.scaling == "model":
        return model_scaling(job.loaded), None
    sums = [state.sums[shard.name] for shard in job.shards if shard.split == job.scaling_split]
    return measured_scaling(sums), job.scaling_split


def _summary(job: EncodingJob, index: LatentIndex, encoded: int, started: float) -> EncodeSummary:
    store = LatentStore(job.out, index)
    texts = store.text_embeddings
    return EncodeSummary(
        out=str(job.out),
        counts=index.counts,
        sample_shape=index.sample_shape,
        autoencoder=index.autoencoder,
        size_bytes=sum(file.size_bytes for file in store.files),
        seconds=time.perf_counter() - started,
        images_encoded=encoded,
        scaling_shift=index.scaling.shift,
        scaling_scale=index.scaling.scale,
        unique_captions=None if texts is None else len(texts.captions),
    )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _remove_latents(folder: Path) -> None:
    """Remove what encoding made, and nothing else."""
    with storage_errors(folder):
        for pattern in MADE_HERE:
            for path in folder.glob(pattern):
                path.unlink()
        shutil.rmtree(folder / AUTOENCODER_FOLDER, ignore_errors=True)
