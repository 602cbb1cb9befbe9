"""`facegen encode`: from a prepared data set and an autoencoder to a folder of latents."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from facegen.autoencoders import load_autoencoder
from facegen.encoding.job import EncodingJob
from facegen.encoding.layout import (
    Images,
    Shard,
    Standing,
    images_of,
    layout,
    standing_latents,
    what_changed,
)
from facegen.encoding.options import EncodeOptions
from facegen.encoding.scaling import Sums, measured_scaling, model_scaling
from facegen.encoding.shards import STATE_FILE, EncodingState, batches, moments, write_shards
from facegen.encoding.tables import tables_are_in, with_tables
from facegen.errors import UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.files import storage_errors
from facegen.formats.latents import (
    AUTOENCODER_FOLDER,
    INDEX_FILE,
    LatentIndex,
    LatentStore,
    StoredFile,
    map_safetensors,
    read_index,
)
from facegen.formats.latents_writing import write_index, write_records, write_tensors
from facegen.models.devices import resolve_device
from facegen.processes import world
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.types import LatentScaling

MEASURED_BATCHES = 3  # of a measured rate, after one to warm up
MADE_HERE = (  # first the files that call the folder whole
    INDEX_FILE,
    STATE_FILE,
    "latents-*.safetensors",
    "records-*.parquet",
    "images-*.safetensors",
    "order-*.safetensors",
    "text_embeddings-*",
    "image_features-*",
    ".*.tmp",
    f"{AUTOENCODER_FOLDER}/.*.tmp",
)


@dataclass(frozen=True)
class EncodeSummary:
    """What was made."""

    out: str
    counts: dict[str, int]
    sample_shape: tuple[int, ...]
    autoencoder: dict[str, Any]
    size_bytes: int
    seconds: float
    images_encoded: int
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

    Several processes divide the shards, and the bytes are the same for any number of them. Interrupted, the
    same command goes on where it stopped, on any number again, and makes the same bytes. Over finished
    latents it makes anew what is damaged or missing and what the data set has other images for, and keeps the
    rest byte for byte; until that is done, the index and what it names stay as they were.

    Raises:
        UsageError: sizes that do not divide, wrong options, an autoencoder without a scaling of its own
            where that is asked for, or `out` holds something else, latents of other settings, or none of
            this data set.
        MissingModelError: the autoencoder or text encoder is not to be had.
        DataError: `dataset` is not a data set, or was changed after it was prepared.
        StorageError: the disk is full or may not be written.
    """
    job = encoding_job(
        dataset, autoencoder, Path(out), options or EncodeOptions(), progress or SilentProgress()
    )
    started, first = time.perf_counter(), world().first
    begun = first(lambda: _begun(job))
    if isinstance(begun, LatentIndex):
        job.progress.say(f"'{job.out}' already holds these latents; nothing to do.")
        return _summary(job, begun, 0, started)
    standing, state, images = begun
    shards = layout(job, images, standing)
    whole = {} if standing is None else standing.whole
    missing = [shard for shard in shards if shard.name not in whole and not state.holds(shard)]
    left_over = {} if standing is None else standing.left_over({shard.name for shard in shards})
    encoded = write_shards(job, missing, state, left_over)
    index = first(lambda: _index(job, shards, state, standing))
    index = with_tables(job, index, images, standing)
    first(lambda: _finish(job, index))
    if standing is not None:
        job.progress.say(what_changed(shards, standing))
    return _summary(job, index, encoded, started)


def encoding_rate(dataset: Path | str, autoencoder: str, options: EncodeOptions) -> float:
    """Images encoded a second, from a few batches; nothing is written.

    Raises:
        FacegenError: as `encode` does.
    """
    job = encoding_job(dataset, autoencoder, Path(), options, SilentProgress())
    split, count = next(iter(job.counts.items()))
    rows = range(min(count, job.shard_size, job.batch_size * (MEASURED_BATCHES + 1)))
    measured, started = 0, time.perf_counter()
    for start, batch in batches(job, split, rows):
        moments(job, batch)
        if start == 0 and len(rows) > len(batch):
            started = time.perf_counter()
        else:
            measured += len(batch)
    return measured / max(time.perf_counter() - started, 1e-9)


def encoding_job(
    dataset: Path | str, autoencoder: str, out: Path, options: EncodeOptions, progress: Progress
) -> EncodingJob:
    """What `encode` would do.

    Raises:
        FacegenError: as `encode` does.
    """
    for name in ("batch_size", "shard_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
    source, device = Dataset.open(dataset), resolve_device(options.device)
    loaded = load_autoencoder(autoencoder, device)
    if options.scaling == "model":
        model_scaling(loaded)  # refuses before anything is made
    return EncodingJob(source, loaded, out, options, device, progress)


def _begun(job: EncodingJob) -> tuple[Standing | None, EncodingState, Images] | LatentIndex:
    """What to go on from, and the images; of finished latents that are as wanted their index."""
    standing, state = _found(job)
    if standing is not None and _is_current(job, standing):
        _remove_latents(job.out, standing.index)
        return standing.index
    with job.progress.stage("Checking the data set"):
        job.dataset.verify()
        images = images_of(job)
    if standing is not None:
        standing = _of_same_faces(job, standing, images)
    _begin(job, state)
    return standing, state, images


def _finish(job: EncodingJob, index: LatentIndex) -> None:
    write_index(job.out, index)
    _remove_latents(job.out, index)


def _found(job: EncodingJob) -> tuple[Standing | None, EncodingState]:
    """Finished latents that stand in the folder, and the state to go on from; refuses anything else there."""
    finished, unfinished = (job.out / INDEX_FILE).is_file(), (job.out / STATE_FILE).is_file()
    state = EncodingState(job.plan)
    if not (finished or unfinished):
        if job.out.exists() and (
            job.out.is_file() or any(not _is_of_a_start(it) for it in job.out.iterdir())
        ):
            raise UsageError(f"'{job.out}' is not empty and holds no latents.", hint="Choose another --out.")
        return None, state
    if not job.options.resume:
        return None, state
    if unfinished:
        state = EncodingState.read(job.out)
    if not finished:
        _refuse_other(job, state.plan, job.plan)
        return None, state
    index = read_index(job.out)
    _refuse_other(job, index.transform["plan"], job.settings if index.images else job.plan)
    return standing_latents(job.out, job.progress), replace(state, plan=job.plan)


def _is_of_a_start(entry: Path) -> bool:
    """Whether an encoding that was killed before `encoding.json`, which comes first, may have left this."""
    return entry.name.startswith(f".{STATE_FILE}.") and entry.suffix == ".tmp"


def _is_current(job: EncodingJob, standing: Standing) -> bool:
    """Whether everything stands, whole and of this data set."""
    same = standing.index.dataset_fingerprint == job.dataset.manifest.fingerprint
    return same and not standing.damaged and tables_are_in(job, standing.index)


def _of_same_faces(job: EncodingJob, standing: Standing, images: Images) -> Standing:
    """`standing`, unless it has no image of the data set: latents of another one are not replaced by mistake.

    Raises:
        UsageError: it has none, as far as every split's images are known.
    """
    if not standing.index.images:  # made before latents said it: of the same data set, or they were refused
        return replace(standing, images=images)
    before, now = standing.index.dataset_fingerprint, job.dataset.manifest.fingerprint
    known = standing.images.keys() == standing.index.shards.keys()
    if before != now and known and standing.all_images.isdisjoint(chain.from_iterable(images.values())):
        _refuse_other(job, {"dataset": before}, {"dataset": now})
    return standing


def _begin(job: EncodingJob, state: EncodingState) -> None:
    """Clear away what cannot be gone on with, and note what is being made."""
    if not job.options.resume:
        _remove_latents(job.out)
    with storage_errors(job.out):
        for leftover in job.out.glob(".*.tmp"):
            leftover.unlink()
    for name in state.drop_damaged(job.out):
        job.progress.warn(f"'{job.out / name}' was damaged since it was written; it is encoded again.")
    state.write(job.out)


def _refuse_other(job: EncodingJob, before: dict[str, Any], new: dict[str, Any]) -> None:
    # Latents from before there was a choice were measured; a limit that is not told is told by the counts.
    old = {"scaling": "measured", "limit": job.options.limit, **before}
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


def _index(
    job: EncodingJob, shards: Sequence[Shard], state: EncodingState, standing: Standing | None
) -> LatentIndex:
    """The index of `shards`, which are all there; the autoencoder and the labels are put beside them."""
    manifest = job.dataset.manifest
    if job.loaded.is_local:
        job.loaded.save(job.out / AUTOENCODER_FOLDER)
    files = state.files if standing is None else standing.whole | state.files
    others = () if standing is None else standing.index.files
    records = {
        name: write_records(job.out, name, job.dataset.split(name).frame.iloc[:count], others)
        for name, count in job.counts.items()
    }
    by_split = {name: [shard for shard in shards if shard.split == name] for name in job.counts}
    scaling, measured_on = _scaling(job, by_split, state)
    return LatentIndex(
        sample_shape=job.shape,
        scaling=scaling,
        labels=manifest.labels,
        image_size=manifest.image_size,
        flips=job.options.flips,
        autoencoder=job.loaded.reference(),
        dataset_fingerprint=manifest.fingerprint,
        transform={
            "plan": job.plan,
            "stored_dtype": "float16",
            "scaling": job.options.scaling,
            "scaling_split": measured_on,
            "source": {"kind": manifest.kind, **manifest.source},
        },
        shards={name: tuple(files[shard.name] for shard in part) for name, part in by_split.items()},
        records=records,
        images={name: _written_images(job.out, name, part, others) for name, part in by_split.items()},
        order={
            name: _written_order(job.out, name, part, others)
            for name, part in by_split.items()
            if any(row != place for place, row in enumerate(_rows(part)))
        },
    )


def _rows(shards: Sequence[Shard]) -> Iterator[int]:
    """The record behind each row of the shards of one split."""
    return chain.from_iterable(shard.rows for shard in shards)


def _written_images(
    folder: Path, split: str, shards: Sequence[Shard], others: Sequence[StoredFile]
) -> StoredFile:
    hashes = bytearray().join(image for shard in shards for image in shard.images)
    sha256 = torch.frombuffer(hashes, dtype=torch.uint8).view(-1, 32)
    return write_tensors(folder, f"images-{split}.safetensors", {"sha256": sha256}, standing=others)


def _written_order(
    folder: Path, split: str, shards: Sequence[Shard], others: Sequence[StoredFile]
) -> StoredFile:
    row = torch.tensor(list(_rows(shards))).argsort()  # a permutation's inverse
    return write_tensors(folder, f"order-{split}.safetensors", {"row": row}, standing=others)


def _scaling(
    job: EncodingJob, shards: dict[str, list[Shard]], state: EncodingState
) -> tuple[LatentScaling, str | None]:
    """The scaling chosen, and the split it was measured on."""
    if job.options.scaling == "model":
        return model_scaling(job.loaded), None
    names = [shard.name for shard in shards[job.scaling_split]]
    sums = [state.sums.get(name) or Sums.of(map_safetensors(job.out / name)[0]) for name in names]
    return measured_scaling(sums), job.scaling_split


def _summary(job: EncodingJob, index: LatentIndex, encoded: int, started: float) -> EncodeSummary:
    store = LatentStore(job.out, index)
    texts = store.text_embeddings
    return EncodeSummary(
        out=str(job.out),
        counts=index.counts,
        sample_shape=index.sample_shape,
        autoencoder=index.autoencoder,
        size_bytes=sum(file.size_bytes for file in index.files),
        seconds=time.perf_counter() - started,
        images_encoded=encoded,
        scaling_shift=index.scaling.shift,
        scaling_scale=index.scaling.scale,
        unique_captions=None if texts is None else len(texts.captions),
    )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _remove_latents(folder: Path, kept: LatentIndex | None = None) -> None:
    """Remove what encoding made, and nothing else; of it, what the index that is `kept` names stays."""
    names = set() if kept is None else {INDEX_FILE, *(file.name for file in kept.files)}
    with storage_errors(folder):
        for pattern in MADE_HERE:
            for path in folder.glob(pattern):
                if path.name not in names:
                    path.unlink()
        if kept is None:
            shutil.rmtree(folder / AUTOENCODER_FOLDER, ignore_errors=True)
