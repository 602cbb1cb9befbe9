"""`facegen prepare`: a folder or archive of faces, or a drawing rule, becomes a data set on disk."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import PIL
import pyarrow

from facegen import __version__
from facegen.config.kinds import spelt
from facegen.errors import DataError, UsageError
from facegen.forecast import Forecast, forecast
from facegen.formats.dataset import MANIFEST_NAME, SPLITS, Dataset
from facegen.formats.dataset_writer import DatasetWriter, parquet_schema
from facegen.formats.files import atomic_write, sha256_of
from facegen.formats.plain import plain
from facegen.pool import usable_cores, worker_pool
from facegen.preparation.account import Example, changes, examples, write_account
from facegen.preparation.duplicates import NO_FAULT, sort_out
from facegen.preparation.images import ImageJob, PreparedImage
from facegen.preparation.kinds import CHOOSING_OPTIONS, adapter_of, crop_name, reading_settings
from facegen.preparation.options import PrepareOptions
from facegen.preparation.parts import WorkFolder, open_work, work_folder, write_splits
from facegen.preparation.splits import assign_splits, check_fractions
from facegen.progress import SilentProgress
from facegen.protocols import DatasetAdapter, Progress
from facegen.types import DatasetRecord, DatasetReject, LabelSchema
from facegen.vocabulary.captions import captions_for

_SMALLEST_SIZE = 8
FIRST_IMAGES = 256  # of a forecast: so many that all processes have some


@dataclass(frozen=True)
class PrepareSummary:
    """What was made; `already_done` says that it stood there finished, of the same source and settings.

    `read_as` says what was taken for what, `repairs` what was changed or dropped to make sense of the source,
    `examples` shows a few images with their labels.
    """

    out: Path
    kind: str
    image_size: int
    counts: dict[str, int]
    attribute_rates: dict[str, float | None]
    class_counts: dict[str, dict[str, int]]
    rejects: dict[str, int]
    read_as: tuple[str, ...]
    examples: tuple[Example, ...]
    repairs: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprint: str
    seconds: float
    already_done: bool = False

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def prepare(
    kind: str,
    source: Path | None,
    out: Path,
    options: PrepareOptions | None = None,
    progress: Progress | None = None,
) -> PrepareSummary:
    """Make a data set at `out` from `source`. Resumes after interruption; nothing stands there half-made.

    What stands there finished is compared with the source as it is now.

    Raises:
        UsageError: a wrong option, something else stands at `out`, or it was made of another state of the
            source and `options.renew` does not ask for a new one.
        DataError: the source is missing, of another layout, too much of it cannot be used, or it needs a
            repair that `strict` forbids.
        StorageError: the disk is full or may not be written; what was done is taken up next time.
    """
    started = time.monotonic()
    options, progress = options or PrepareOptions(), progress or SilentProgress()
    out = Path(os.path.abspath(out))
    _check_options(options)
    kind = spelt("datasets", kind)
    adapter = adapter_of(kind, options)
    adapter.workers = options.workers or usable_cores()
    adapter.work, adapter.earlier = work_folder(out), out
    crop = crop_name(kind, adapter, options.crop)
    is_remote = getattr(adapter, "is_remote", lambda _: False)  # without it, sources are places on this disk
    remote = source is not None and is_remote(source)
    settings = _settings(kind, source, crop, options, remote=remote)
    finished, chosen = _finished(out, settings, options)
    readable = source is not None and (remote or source.exists())
    if finished is not None and (remote or not readable):
        told = "" if source is None or remote else " Its source is not there any more, to compare it with."
        progress.say(f"'{out}' is finished already, with these settings.{told}")
        return _summary(finished, started, already_done=True)
    if source is not None and not readable:
        raise DataError(f"'{source}' does not exist.")
    run = _Preparation(kind, adapter, _records(adapter, source, options, progress), settings, options)
    if finished is not None:
        differences = chosen or changes(finished, run.records, adapter.rejects, adapter.labels)
        if not differences:
            progress.say(f"'{out}' is finished already, with these settings and this source.")
            return _summary(finished, started, already_done=True)
        _check_renew(out, source, differences, options)
        what = "Chosen otherwise" if chosen else "The source has changed"
        progress.say(f"{what}: {'; '.join(differences)}. '{out}' is made anew.")
    if options.strict:
        refuse_repairs(adapter.repairs)
    with open_work(out) as work:
        run.make(work, progress)
        work.publish(out)
    return _summary(Dataset.open(out), started)


def preparation_forecast(kind: str, source: Path | None, out: Path, options: PrepareOptions) -> Forecast:
    """What `prepare` would take, from doing it for a few images; nothing stays of them.

    Raises:
        UsageError: of a kind whose images are found only by all the work, or as `prepare`.
        DataError: as `prepare`.
    """
    _check_options(options)
    kind = spelt("datasets", kind)
    adapter = adapter_of(kind, options)
    if kind in ("photos", "hub"):
        raise UsageError(
            f"--dry-run is not for the kind '{kind}', which finds its images only by doing all the work."
        )
    settings = _settings(kind, source, crop_name(kind, adapter, options.crop), options, remote=False)
    _finished(Path(os.path.abspath(out)), settings, options)
    drawn = source is None
    with TemporaryDirectory() as scratch:
        adapter.workers, adapter.work, adapter.earlier = usable_cores(), Path(scratch), Path(scratch)
        if source is not None and not source.exists():
            raise DataError(f"'{source}' does not exist.")
        count = len(_records(adapter, source, options, SilentProgress()))
    return forecast(partial(_prepare_some, kind, source, options, drawn), "images", count, FIRST_IMAGES)


def _prepare_some(
    kind: str, source: Path | None, options: PrepareOptions, drawn: bool, count: int, out: Path
) -> None:
    few = {"count": count, "limit": None} if drawn else {"limit": count}
    prepare(kind, source, out, replace(options, **few), SilentProgress())


def _check_renew(out: Path, source: Path | None, differences: Sequence[str], options: PrepareOptions) -> None:
    if not options.renew:
        raise UsageError(
            f"'{out}' was made of another state of '{source}': {'; '.join(differences)}.",
            hint="--renew makes it anew; another --out keeps both.",
        )


def refuse_repairs(repairs: Sequence[str]) -> None:
    """What --strict does about repairs.

    Raises:
        DataError: there are any.
    """
    if repairs:
        told = "\n".join(f"  {repair}" for repair in repairs)
        raise DataError(
            f"--strict allows no repairs:\n{told}", hint="Mend the source, or leave out --strict."
        )


def _check_options(options: PrepareOptions) -> None:
    if options.size < _SMALLEST_SIZE or options.size > 2048:
        raise UsageError(f"--size {options.size} is outside {_SMALLEST_SIZE}..2048 pixels.")
    for name in ("limit", "workers", "count", "min_side"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
    if not 0 <= options.max_reject_share <= 1:
        raise UsageError(f"--max-reject-share is a share of 0..1, not {options.max_reject_share}.")
    if options.splits is not None:
        check_fractions(options.splits)


def _settings(
    kind: str, source: Path | None, crop: str, options: PrepareOptions, *, remote: bool
) -> dict[str, Any]:
    """What decides the result; `workers`, `strict` and `max_reject_share` do not."""
    name = None if source is None else source.as_posix() if remote else Path(os.path.abspath(source)).name
    decisive = ("size", "crop", "limit", "splits", "seed", "min_side", "count")
    return {
        "kind": kind,
        "source": name,
        **{option: getattr(options, option) for option in decisive},
        "crop": crop,
        "splits": None if options.splits is None else list(options.splits),
        **reading_settings(options),
    }


def _finished(
    out: Path, settings: dict[str, Any], options: PrepareOptions
) -> tuple[Dataset | None, list[str]]:
    """What stands at `out`, and how it was chosen otherwise where `renew` is to make it anew for that."""
    if not (out / MANIFEST_NAME).is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"'{out}' exists and is not a prepared data set.", hint="Choose another --out.")
        return None, []
    dataset = Dataset.open(out)
    made = dataset.manifest.transform
    other = sorted(key for key in {*made, *settings} if made.get(key) != settings.get(key))
    told = [f"{key} {made.get(key)} (asked: {settings.get(key)})" for key in other]
    is_chosen = {*other} <= {*CHOOSING_OPTIONS}
    if other and not (is_chosen and options.renew):
        raise UsageError(
            f"'{out}' holds a data set made with other settings: {', '.join(told)}.",
            hint="--renew makes it anew; another --out keeps both."
            if is_chosen
            else "Choose another --out, or delete that folder first.",
        )
    return dataset, told


def _records(
    adapter: DatasetAdapter, source: Path | None, options: PrepareOptions, progress: Progress
) -> list[DatasetRecord]:
    records = list(adapter.records(source, progress))
    parquet_schema(adapter.labels, _extras(records))  # refuses clashing names before any work
    if options.limit is not None and options.limit < len(records):
        ranks = [sha256_of(f"limit/{options.seed}/{record.id}".encode()) for record in records]
        order = sorted(range(len(records)), key=ranks.__getitem__)
        records = [records[index] for index in sorted(order[: options.limit])]
    if not records:
        raise DataError(f"No images were found in '{source}'.")
    return records


def _extras(records: Sequence[DatasetRecord]) -> dict[str, str]:
    kinds: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.extra.items():
            kinds.setdefault(name, set()).update([] if value is None else [type(value).__name__])
    widest = {frozenset({"int"}): "int", frozenset({"float"}): "float", frozenset({"int", "float"}): "float"}
    return {name: widest.get(frozenset(found), "str") for name, found in kinds.items()}


@dataclass(frozen=True)
class _Preparation:
    """Everything that is fixed before the first image is decoded."""

    kind: str
    adapter: DatasetAdapter
    records: list[DatasetRecord]
    settings: dict[str, Any]
    options: PrepareOptions

    def make(self, work: WorkFolder, progress: Progress) -> None:
        """Write the data set into `work`, from where an interrupted run left it."""
        records, options = self.records, self.options
        states = ((record.id, record.location, record.size, record.modified) for record in records)
        digest = sha256_of("\n".join(map(repr, states)).encode())
        if work.begin({"settings": self.settings, "records": digest}, len(records)):
            progress.say("Taking up the work that an interrupted run left.")
        job = ImageJob(self.adapter.crops[self.settings["crop"]], options.size, options.min_side)
        with (
            progress.stage("preparing images", total=len(records)) as task,
            worker_pool(self.adapter.workers, processes=self.adapter.loads_on_cpu) as pool,
        ):
            work.prepare_missing(records, job, pool, task)
        outcomes = work.outcomes()
        sorted_out = sort_out(records, outcomes, keep_first=options.conflicts == "keep-first")
        repairs = [*self.adapter.repairs, *sorted_out.repairs]
        if options.strict:
            refuse_repairs(repairs)
        rejects = [*self.adapter.rejects, *sorted_out.rejects]
        self._check_rejects(len(sorted_out.kept), rejects)
        self._write(work, sorted_out.kept, rejects, repairs, outcomes, progress)

    def _check_rejects(self, num_kept: int, rejects: Sequence[DatasetReject]) -> None:
        bad = [reject for reject in rejects if not reject.reason.startswith(NO_FAULT)]
        total, allowed = len(bad) + num_kept, self.options.max_reject_share
        if num_kept and len(bad) / total <= allowed:
            return
        examples = "\n".join(f"  {reject.location}: {reject.reason}" for reject in bad[:5])
        raise DataError(
            f"{len(bad)} of {total} images cannot be used; "
            f"at most {allowed:.0%} may be left out.\n{examples}",
            hint="Mend the source, or allow more with --max-reject-share."
            if num_kept
            else "Nothing was left to keep.",
        )

    def _write(
        self,
        work: WorkFolder,
        kept: Sequence[int],
        rejects: Sequence[DatasetReject],
        repairs: Sequence[str],
        outcomes: Sequence[PreparedImage],
        progress: Progress,
    ) -> None:
        adapter, records, size = self.adapter, self.records, self.options.size
        kept_records = [records[index] for index in kept]
        splits, notes = assign_splits(kept_records, adapter, self.options.splits, self.options.seed)
        enlarged = sum(outcomes[index].side < size for index in kept)
        if enlarged:
            notes.append(f"{enlarged} of {len(kept)} images were smaller than {size} and enlarged.")
        chosen: dict[str, list[int]] = {split: [] for split in SPLITS}
        for index, split in zip(kept, splits, strict=True):
            chosen[split].append(index)
        labels, empty = _with_images(adapter.labels, kept_records)
        if empty:
            notes.append(f"No image is left of {', '.join(empty)}: no label of the data set.")
        extras = _extras(records)

        def rows_of(split: str) -> Iterator[dict[str, Any]]:
            for index, png in zip(chosen[split], work.pngs(chosen[split]), strict=True):
                record = records[index]
                captions = [record.caption] if record.caption else None
                captions = captions or captions_for(
                    record.attributes, record.classes, record.id, medium=adapter.medium
                )
                yield {
                    "image": png,
                    "id": record.id,
                    "split": split,
                    "caption": captions[0],
                    "captions": captions,
                    "identity": record.identity,
                    "sha256": outcomes[index].sha256,
                    **{name: record.attributes.get(name) for name in labels.attributes},
                    **{name: record.classes.get(name) for name in labels.classes},
                    **{name: record.extra.get(name) for name in extras},
                }

        writer = DatasetWriter(work.dataset, labels, extras, self.settings)
        counts = {split: len(indices) for split, indices in chosen.items()}
        write_splits(writer, counts, rows_of, work.total_png_bytes() / len(kept), progress)
        split_of = dict(zip(kept, splits, strict=True))
        write_account(work.dataset, records, split_of, rejects, adapter.files, adapter.details)
        taken = {records[index].id: split for index, split in split_of.items()}
        for name, content in adapter.beside(taken).items():
            atomic_write(work.dataset / name, content)
        writer.finish(
            rejects=list(map(astuple, rejects)),
            kind=self.kind,
            image_size=size,
            source={"name": self.settings["source"], "licence": adapter.licence},
            read_as=(*adapter.read_as, *_told_files(adapter.files)),
            repairs=tuple(repairs),
            notes=(*adapter.notes, *notes),
            versions={"facegen": __version__, "pillow": PIL.__version__, "pyarrow": pyarrow.__version__},
        )


def _with_images(labels: LabelSchema, records: Sequence[DatasetRecord]) -> tuple[LabelSchema, list[str]]:
    """The classes that any record has, and "COLUMN NAME" of those that none has."""
    seen = {(column, name) for record in records for column, name in record.classes.items()}
    left = {
        column: tuple(n for n in names if (column, n) in seen) for column, names in labels.classes.items()
    }
    empty = [
        f"{column} {n}" for column, names in labels.classes.items() for n in names if n not in left[column]
    ]
    return replace(labels, classes=left), empty


def _told_files(files: Mapping[str, str]) -> list[str]:
    """One line on the files that are no images of the data set."""
    counted = Counter(files.values()).most_common()
    return [f"other files: {', '.join(f'{count:,} {what}' for what, count in counted)}"] if counted else []


def _summary(dataset: Dataset, started: float, *, already_done: bool = False) -> PrepareSummary:
    manifest = dataset.manifest
    return PrepareSummary(
        out=dataset.folder,
        kind=manifest.kind,
        image_size=manifest.image_size,
        counts=manifest.counts,
        attribute_rates=manifest.attribute_rates,
        class_counts=manifest.class_counts,
        rejects=manifest.rejects,
        read_as=manifest.read_as,
        examples=examples(dataset),
        repairs=manifest.repairs,
        notes=manifest.notes,
        fingerprint=manifest.fingerprint,
        seconds=round(time.monotonic() - started, 3),
        already_done=already_done,
    )
