"""`facegen encode`: from a prepared data set and an autoencoder to a folder of latents."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from facegen.autoencoders import LoadedAutoencoder, load_autoencoder
from facegen.encoding.options import EncodeOptions
from facegen.encoding.scaling import measured_scaling, model_scaling
from facegen.encoding.shards import (
    STATE_FILE,
    EncodingState,
    Shard,
    ShardEncoder,
    plan_shards,
    write_shards,
)
from facegen.encoding.tables import EncodedTables
from facegen.errors import UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.files import storage_errors
from facegen.formats.latents import (
    AUTOENCODER_FOLDER,
    INDEX_FILE,
    LATENTS_FORMAT_VERSION,
    MOMENTS,
    LatentIndex,
    LatentStore,
    StoredFile,
    write_index,
    write_records,
)
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.types import LatentScaling

AUTOMATIC_SHARD_BYTES = 256 << 20
SCALING_SPLIT = "train"
MEASURED_BATCHES = 3  # of a dry run, after one to warm up


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
    _check_options(options)
    source = Dataset.open(dataset)
    device = resolve_device(options.device)
    loaded = load_autoencoder(autoencoder, device)
    if options.scaling == "model":
        model_scaling(loaded)  # refuses before anything is made
    shape = loaded.module.latent_shape(source.manifest.image_size)
    counts = {name: min(source.manifest.counts[name], options.limit or 1 << 62) for name in source.splits}
    shard_size = options.shard_size or _automatic_shard_size(shape, options.flips)
    job = _Job(source, loaded, Path(out), options, shape, counts, plan_shards(counts, shard_size), device)
    return job.estimate() if options.dry_run else job.run(progress, shard_size)


def _check_options(options: EncodeOptions) -> None:
    for name in ("batch_size", "shard_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")


def _image_bytes(shape: tuple[int, ...], flips: bool) -> int:
    return torch.Size(shape).numel() * 2 * len(MOMENTS) * (2 if flips else 1)


def _automatic_shard_size(shape: tuple[int, ...], flips: bool) -> int:
    """A power of two of images, so that a shard is at most 256 MiB."""
    return 1 << max(0, (AUTOMATIC_SHARD_BYTES // _image_bytes(shape, flips)).bit_length() - 1)


@dataclass(frozen=True)
class _Job:
    dataset: Dataset
    loaded: LoadedAutoencoder
    out: Path
    options: EncodeOptions
    shape: tuple[int, ...]
    counts: dict[str, int]
    shards: list[Shard]
    device: torch.device

    def run(self, progress: Progress, shard_size: int) -> EncodeSummary:
        started = time.perf_counter()
        plan = self._plan(shard_size)
        state = self._prepare_folder(plan, progress)
        finished = self._finished_index()
        tables = self._tables()
        if finished is not None and tables.are_in(finished):
            progress.say(f"'{self.out}' already holds these latents; nothing to do.")
            return self._summary(finished, 0, time.perf_counter() - started)
        with progress.stage("Checking the data set"):
            self.dataset.verify()
        if finished is None:
            todo = sum(shard.count for shard in self.shards if shard.name not in state.files)
            index = self._encode(state, progress, todo)
        else:
            todo, index = 0, finished
        index = tables.added_to(index, self._scaling_split, progress)
        write_index(self.out, index)
        with storage_errors(self.out):
            (self.out / STATE_FILE).unlink(missing_ok=True)
        tables.remove_others(index)
        return self._summary(index, todo, time.perf_counter() - started)

    def estimate(self) -> EncodeSummary:
        """Size and seconds of the whole, from encoding a few batches; nothing is written."""
        encoder, shard = self._encoder(), self.shards[0]
        shard = replace(shard, stop=min(shard.stop, self.options.batch_size * (MEASURED_BATCHES + 1)))
        measured, started = 0, time.perf_counter()
        for start, batch in encoder.batches(self.dataset.split(shard.split), shard):
            encoder.moments(batch)
            if start == 0 and shard.count > len(batch):
                started = time.perf_counter()
            else:
                measured += len(batch)
        total = sum(self.counts.values())
        return EncodeSummary(
            out=str(self.out),
            counts=self.counts,
            sample_shape=self.shape,
            autoencoder=self.loaded.reference(),
            size_bytes=total * _image_bytes(self.shape, self.options.flips),
            seconds=(time.perf_counter() - started) / measured * total,
            images_encoded=total,
            dry_run=True,
        )

    def _plan(self, shard_size: int) -> dict[str, Any]:
        """Everything that decides the bytes of the shards, and how they are scaled."""
        return {
            "latents_format_version": LATENTS_FORMAT_VERSION,
            "autoencoder": self.loaded.fingerprint,
            "dataset": self.dataset.manifest.fingerprint,
            "dtype": self.options.dtype,
            "scaling": self.options.scaling,
            "flips": self.options.flips,
            "shard_size": shard_size,
            "counts": self.counts,
        }

    def _prepare_folder(self, plan: dict[str, Any], progress: Progress) -> EncodingState:
        """The state to go on from; refuses a folder that holds anything else."""
        holds_latents = (self.out / INDEX_FILE).is_file() or (self.out / STATE_FILE).is_file()
        if self.out.exists() and not holds_latents and (self.out.is_file() or any(self.out.iterdir())):
            raise UsageError(f"'{self.out}' is not empty and holds no latents.", hint="Choose another --out.")
        if holds_latents and not self.options.resume:
            _remove_latents(self.out)
            holds_latents = False
        if holds_latents:
            return self._continue(plan, progress)
        state = EncodingState(plan)
        state.write(self.out)
        return state

    def _continue(self, plan: dict[str, Any], progress: Progress) -> EncodingState:
        if (self.out / INDEX_FILE).is_file():
            store = LatentStore.open(self.out, verify=True)
            self._refuse_other(store.index.transform["plan"], plan)
            return EncodingState(plan)
        state = EncodingState.read(self.out)
        self._refuse_other(state.plan, plan)
        for leftover in self.out.glob(".*.tmp"):
            leftover.unlink()
        for name in state.drop_damaged(self.out):
            progress.warn(f"'{self.out / name}' was damaged since it was written; it is encoded again.")
        return state

    def _refuse_other(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        old = {"scaling": "measured", **old}  # from before there was a choice
        different = [name for name in new if old.get(name) != new[name]]
        if different:
            told = "; ".join(
                f"{name} {_short(old.get(name))} there, {_short(new[name])} now" for name in different
            )
            raise UsageError(
                f"'{self.out}' was encoded differently: {told}.",
                hint=f"Make it anew: facegen encode {self.dataset.folder} --autoencoder {self.loaded.source} "
                f"--out {self.out} --afresh\nor choose another --out.",
            )

    def _finished_index(self) -> LatentIndex | None:
        return LatentStore.open(self.out).index if (self.out / INDEX_FILE).is_file() else None

    @property
    def _scaling_split(self) -> str:
        return SCALING_SPLIT if SCALING_SPLIT in self.counts else next(iter(self.counts))

    def _tables(self) -> EncodedTables:
        wanted = self.options.text_encoder, self.options.image_encoder
        return EncodedTables(self.out, self.dataset, self.counts, self.device, *wanted)

    def _encoder(self) -> ShardEncoder:
        dtype = getattr(torch, self.options.dtype)
        return ShardEncoder(
            self.loaded.module, self.device, dtype, self.options.batch_size, self.options.flips
        )

    def _encode(self, state: EncodingState, progress: Progress, todo: int) -> LatentIndex:
        splits = {name: self.dataset.split(name) for name in self.counts}
        with progress.stage("Encoding", total=todo) as bar:
            write_shards(self.out, self.shards, self._encoder(), splits, state, bar)
        if self.loaded.is_local:
            self.loaded.save(self.out / AUTOENCODER_FOLDER)
        records = {
            name: write_records(self.out, name, splits[name].frame.iloc[:count])
            for name, count in self.counts.items()
        }
        scaling, measured_on = self._scaling(state)
        return LatentIndex(
            sample_shape=self.shape,
            scaling=scaling,
            labels=self.dataset.manifest.labels,
            image_size=self.dataset.manifest.image_size,
            flips=self.options.flips,
            autoencoder=self.loaded.reference(),
            dataset_fingerprint=self.dataset.manifest.fingerprint,
            transform={
                "plan": state.plan,
                "stored_dtype": "float16",
                "scaling": self.options.scaling,
                "scaling_split": measured_on,
                "source": {"kind": self.dataset.manifest.kind, **self.dataset.manifest.source},
            },
            shards={name: self._files_of(name, state) for name in self.counts},
            records=records,
        )

    def _scaling(self, state: EncodingState) -> tuple[LatentScaling, str | None]:
        """The scaling chosen, and the split it was measured on."""
        if self.options.scaling == "model":
            return model_scaling(self.loaded), None
        measured_on = self._scaling_split
        sums = [state.sums[shard.name] for shard in self.shards if shard.split == measured_on]
        return measured_scaling(sums), measured_on

    def _files_of(self, split: str, state: EncodingState) -> tuple[StoredFile, ...]:
        return tuple(state.files[shard.name] for shard in self.shards if shard.split == split)

    def _summary(self, index: LatentIndex, encoded: int, seconds: float) -> EncodeSummary:
        store = LatentStore(self.out, index)
        texts = store.text_embeddings
        return EncodeSummary(
            out=str(self.out),
            counts=index.counts,
            sample_shape=index.sample_shape,
            autoencoder=index.autoencoder,
            size_bytes=sum(file.size_bytes for file in store.files),
            seconds=seconds,
            images_encoded=encoded,
            scaling_shift=index.scaling.shift,
            scaling_scale=index.scaling.scale,
            unique_captions=None if texts is None else len(texts.captions),
        )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _remove_latents(folder: Path) -> None:
    """Remove what encoding made, and nothing else; first the files that call the folder whole."""
    ours = [
        INDEX_FILE,
        STATE_FILE,
        "latents-*.safetensors",
        "records-*.parquet",
        "text_embeddings-*",
        "image_features-*",
        ".*.tmp",
    ]
    with storage_errors(folder):
        for pattern in ours:
            for path in folder.glob(pattern):
                path.unlink()
        shutil.rmtree(folder / AUTOENCODER_FOLDER, ignore_errors=True)
