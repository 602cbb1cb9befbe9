"""What a run folder says about itself, gathered once for the page and the model card."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from facegen.config.documents import mapping_of
from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.errors import FacegenError, UsageError
from facegen.formats.checkpoint import Checkpoint, CheckpointInfo, load_checkpoint
from facegen.formats.checkpoint_head import INFO_FILE, list_checkpoints
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far import fetched, named, shared_path, written_beside
from facegen.formats.far_store import is_far
from facegen.formats.files import read_json
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.plain import from_plain
from facegen.formats.reports import REPORT_FORMAT_VERSION
from facegen.formats.run import ENVIRONMENT_FILE, RunDirectory, folders_of
from facegen.report.blocks import Series
from facegen.report.told import Evaluation
from facegen.types import Asking
from facegen.vocabulary.words import readable

EVALUATIONS = "evaluations"
AUTOENCODER_TASKS = ("autoencoding", "adversarial_autoencoding")
CLASSIFIER_TASKS = ("attribute_classification",)
WEIGHTS_FILES = ("model.safetensors", "ema.safetensors")

RunKind = Literal["generator", "autoencoder", "classifier"]


@dataclass(frozen=True)
class DataFacts:
    """What was trained on; None where the data are not there any more. `dataset` is the folder of images
    to judge against, in the words of a command line."""

    path: str | None
    name: str | None = None
    licence: str | None = None
    counts: dict[str, int] | None = None
    dataset: str | None = None


TELLS_A_PATH = ("run", "subject", "reference", "train", "data", "dataset", "classifier", "features")


@dataclass(frozen=True)
class RunFacts:
    """A run folder, read. `checkpoint` is the best one, None where nothing was saved yet."""

    run: Path
    named: str  # the run as commands name it
    recipe: Recipe
    environment: dict[str, Any]
    records: list[dict[str, Any]]
    checkpoint: CheckpointInfo | None
    num_parameters: int | None
    evaluations: tuple[Evaluation, ...]  # newest first
    unreadable: dict[str, str]  # file name -> why
    data: DataFacts
    previews: tuple[Path, ...] = ()  # drawn while training, oldest first

    def shared(self) -> RunFacts:
        """The same without the places on this machine, for pages that people share."""
        return replace(
            self,
            named=shared_path(self.run),
            evaluations=tuple(replace(one, data=_shared_values(one.data)) for one in self.evaluations),
            data=replace(self.data, path=_shared(self.data.path), dataset=_shared(self.data.dataset)),
        )

    @property
    def kind(self) -> RunKind:
        task = str(self.recipe.task.get("kind"))
        if task in CLASSIFIER_TASKS:
            return "classifier"
        alone = self.recipe.denoiser is None and self.recipe.autoencoder is not None
        return "autoencoder" if task in AUTOENCODER_TASKS or alone else "generator"

    @property
    def conditioner(self) -> str | None:
        """Kind of what conditions the generator."""
        return None if self.recipe.conditioner is None else str(self.recipe.conditioner.get("kind"))

    @property
    def asking(self) -> Asking:
        """How the generator is asked; where its conditioner does not say, or is not here, its name alone."""
        kind = self.conditioner or "none"
        with contextlib.suppress(UsageError):
            if told := getattr(load_kind("conditioners", kind), "ASKING", None):
                return told
        return Asking((kind,), kind, "", readable(kind))

    @property
    def image_size(self) -> int | None:
        return None if self.checkpoint is None else self.checkpoint.image_size

    def logged(self, group: str) -> list[dict[str, Any]]:
        """Records of "train" or "validation" by step, one each, as logged last."""
        rows = {row["step"]: row for row in self.records if row.get("group") == group and "step" in row}
        return [rows[step] for step in sorted(rows)]

    def series(self, group: str, key: str, name: str, *, dashed: bool = False) -> Series:
        """What was logged as `key`, over the steps; empty if it never was."""
        points = [(row["step"], row.get(key)) for row in self.logged(group)]
        kept = [(x, y) for x, y in points if isinstance(y, int | float) and math.isfinite(y)]
        return Series(name, [x for x, _ in kept], [y for _, y in kept], dashed)

    @property
    def validation(self) -> dict[str, Any]:
        """The newest validation; empty if there was none."""
        rows = self.logged("validation")
        return rows[-1] if rows else {}

    @property
    def training_seconds(self) -> float | None:
        """Time spent on training steps, from the images seen and the speed logged with them."""
        seconds, before = 0.0, 0
        for row in self.logged("train"):
            seen, speed = row.get("images_seen"), row.get("images_per_second")
            if not isinstance(seen, int) or not isinstance(speed, int | float) or speed <= 0:
                return None
            seconds, before = seconds + max(0, seen - before) / speed, seen
        return seconds or None


def read_run(run: Path) -> RunFacts:
    """Everything that `run`, or the run of a checkpoint folder, holds for a report.

    Raises:
        UsageError: there is no run.
        StorageError: the recipe or the checkpoint's description is unreadable.
    """
    run = run.parents[1] if (run / INFO_FILE).is_file() and run.parent.name == "checkpoints" else run
    folder = RunDirectory(run)
    recipe = folder.recipe()
    evaluations, unreadable = _evaluations(run)
    best = load_checkpoint(run) if list_checkpoints(run) else None
    environment = _json_or_empty(run / ENVIRONMENT_FILE)
    return RunFacts(
        run=run,
        named=named(run),
        recipe=recipe,
        environment=environment,
        records=[record for record in folder.metrics() if isinstance(record, dict)],
        checkpoint=None if best is None else best.info,
        num_parameters=None if best is None else _count_parameters(best),
        evaluations=tuple(evaluations),
        unreadable=unreadable,
        data=_data_facts(run, recipe, evaluations) or _recorded(recipe.data.path, environment),
        previews=tuple(sorted(fetched(run / "samples").glob("step-*.png"))),
    )


def _shared_values(data: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without the places on this machine that it was asked with."""
    return {key: _shared(value) if key in TELLS_A_PATH else value for key, value in data.items()}


def _shared(told: Any) -> Any:
    """A path as a shared page may tell it; what is no absolute path, or of one behind a colon, stays."""
    if not isinstance(told, str) or is_far(told):
        return told
    kind, colon, path = told.rpartition(":")
    return f"{kind}{colon}{shared_path(Path(path))}" if Path(path).is_absolute() else told


def _evaluations(run: Path) -> tuple[list[Evaluation], dict[str, str]]:
    """The reports, newest first, and those that cannot be read."""
    found, unreadable = [], {}
    places = dict.fromkeys([run, written_beside(run)])
    files = [path for place in places for path in (place / EVALUATIONS).glob("*.json")]
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            data = read_json(path, REPORT_FORMAT_VERSION)
        except FacegenError as error:
            unreadable[path.name] = str(error)
            continue
        found.append(Evaluation(path, str(data.get("metric", path.stem)), data))
    return found, unreadable


def _json_or_empty(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _count_parameters(checkpoint: Checkpoint) -> int | None:
    """Numbers in its weights as trained, else in the averaged ones, from the file's header alone."""
    from safetensors import SafetensorError, safe_open

    name = next((one for one in WEIGHTS_FILES if one in checkpoint.info.files), WEIGHTS_FILES[0])
    try:
        with safe_open(fetched(checkpoint.folder / name), "pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    return sum(map(math.prod, shapes))


def _data_facts(run: Path, recipe: Recipe, evaluations: list[Evaluation]) -> DataFacts | None:
    """What the data themselves say; None where they are not there."""
    told = recipe.data.path
    if told is None:
        return None
    for path in folders_of(run, told):
        with contextlib.suppress(FacegenError):
            if (path / MANIFEST_NAME).is_file():
                return _of_dataset(told, path, told)
            if (path / INDEX_FILE).is_file():
                return _of_latents(run, told, path, evaluations)
    return None


def _recorded(path: str | None, environment: dict[str, Any]) -> DataFacts:
    """What `environment.json` says of them, as that of a run from the hub does."""
    told = mapping_of(environment.get("data")) or {}
    with contextlib.suppress(FacegenError):
        return replace(from_plain(DataFacts, {"path": None, **told}, Path(ENVIRONMENT_FILE)), path=path)
    return DataFacts(path)


def _of_dataset(told: str, path: Path, dataset: str) -> DataFacts:
    manifest = Dataset.open(path).manifest
    source = manifest.source
    name = source.get("name") or manifest.kind
    licence = source.get("licence")
    return DataFacts(told, str(name), None if licence is None else str(licence), manifest.counts, dataset)


def _of_latents(run: Path, told: str, path: Path, evaluations: list[Evaluation]) -> DataFacts:
    """Of the images that were encoded: as the latents say, or the data set itself, if a report names it."""
    index = LatentStore.open(path).index
    source = index.transform.get("source") or {}
    name, licence = source.get("name") or source.get("kind"), source.get("licence")
    dataset = None
    for address, folder in _judged_against(run, evaluations):
        with contextlib.suppress(FacegenError):
            if Dataset.open(folder).manifest.fingerprint == index.dataset_fingerprint:
                facts = _of_dataset(told, folder, address)
                name, licence, dataset = name or facts.name, licence or facts.licence, address
                break
    return DataFacts(told, name, licence, index.counts, dataset)


def _judged_against(run: Path, evaluations: list[Evaluation]) -> Iterator[tuple[str, Path]]:
    told = [one.data.get(key) for one in evaluations for key in ("reference", "train", "data", "dataset")]
    for name in dict.fromkeys(one for one in told if isinstance(one, str)):
        for path in folders_of(run, name):
            if (path / MANIFEST_NAME).is_file():
                yield name, path
