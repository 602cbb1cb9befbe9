"""The whole way in one go, offline: rendered avatars to a trained, sampled and scored generator.

Every stage is the public function that the command of the same name calls, so the demo is also the
shortest example of using the library. Stopped anywhere, it goes on where it stood.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.demo.options import DemoFolders, DemoOptions
from facegen.demo.page import write_demo_report
from facegen.demo.pictures import draw_pictures
from facegen.demo.speed import Speed, measure_speed, num_threads, with_training
from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.evaluation.attributes import AttributeReport, evaluate_attributes
from facegen.evaluation.distribution import DistributionReport, evaluate
from facegen.evaluation.options import AttributeOptions, DistributionOptions
from facegen.formats.checkpoint import checkpoint_name, list_checkpoints
from facegen.formats.files import write_json
from facegen.formats.plain import plain
from facegen.formats.run import RunDirectory
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.sampling.records import drawing_once
from facegen.training.train import train

STAGES = ("avatars", "autoencoder", "latents", "classifier", "generator", "pictures", "scores")
SECONDS_AFTER_TRAINING = {"full": 80.0, "smoke": 5.0}  # pictures, scores and report: 85 s on two cores
STEP_LIMITS = {"full": (400, 20_000), "smoke": (6, 12)}


@dataclass(frozen=True)
class DemoSummary:
    """Where everything lies, and the headline scores."""

    out: Path
    report: Path
    grid: Path
    seconds: dict[str, float]
    attributes: dict[str, Any]
    fid: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def demo(out: Path, options: DemoOptions | None = None, progress: Progress | None = None) -> DemoSummary:
    """Render, train, encode, sample, score and report into `out`; return where things are.

    Raises:
        UsageError: `out` holds a demo made with other settings.
        StorageError: the disk is full; run the same command again once there is room.
    """
    out.mkdir(parents=True, exist_ok=True)
    return _Demo(DemoFolders(out), options or DemoOptions(), progress or SilentProgress()).run()


class _Demo:
    """The stages, and the seconds that each took."""

    def __init__(self, folders: DemoFolders, options: DemoOptions, progress: Progress) -> None:
        self._folders, self._options, self._progress = folders, options, progress
        self._smoke = options.size == "smoke"
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def _stage(self, name: str, about: str) -> Iterator[None]:
        """Say that a stage begins, and note how long it took."""
        number, begun = STAGES.index(name) + 1, self._elapsed
        self._progress.say(f"[{number}/{len(STAGES)}] {name}: {about} ({begun:.0f} s so far)")
        yield
        self._seconds[name] = round(self._elapsed - begun, 1)

    def run(self) -> DemoSummary:
        folders, progress = self._folders, self._progress
        self._prepare_avatars()
        with self._stage("autoencoder", "learning to squeeze 64x64 pixels into 16x16 latents"):
            self._train("avatars-autoencoder", folders.dataset, folders.autoencoder)
        with self._stage("latents", "encoding every face once"):
            encode(folders.dataset, str(folders.autoencoder), folders.latents, EncodeOptions(), progress)
        with self._stage("classifier", "learning to tell the attributes, to judge by"):
            self._train("avatars-classifier", folders.dataset, folders.classifier)
        with self._stage("generator", "learning to draw faces for attributes"):
            self._train("avatars", folders.latents, folders.run, to_fit=True)
        with self._stage("pictures", "drawing what the words ask for"):
            rows, switch_rows = (2, 1) if self._smoke else (6, 3)
            grid = draw_pictures(folders, self._options.seed, rows=rows, switch_rows=switch_rows)
        with self._stage("scores", "counting what came true"):
            attributes, fid = self._score()
        timings = {"seconds": self._seconds, "total": round(self._elapsed, 1)}
        write_json(folders.out / "timings.json", timings)
        report = write_demo_report(folders, self._seconds)
        progress.say(f"Done in {self._elapsed / 60:.1f} minutes. Open {report} in a browser.")
        return DemoSummary(folders.out, report, grid, self._seconds, attributes.to_json(), fid.to_json())

    def _prepare_avatars(self) -> None:
        size, count = (32, 64) if self._smoke else (64, self._options.num_avatars)
        settings = PrepareOptions(size=size, count=count, seed=self._options.seed)
        with self._stage("avatars", f"rendering {count} faces whose every label is known"):
            prepare("avatars", None, self._folders.dataset, settings, self._progress)

    def _train(self, preset: str, data: Path, run: Path, *, to_fit: bool = False) -> None:
        """Train with the number of threads that is fastest here, a new run `to_fit` the time that is left."""
        begun = RunDirectory(run).exists
        if begun:
            recipe = RunDirectory(run).recipe()  # its data are where this call sees them
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": str(data)})})
        else:
            settings = [f"data.path={json.dumps(str(data))}", f"training.seed={self._options.seed}"]
            recipe = compose(preset, overrides=settings, size=self._options.size)
        if checkpoint_name(recipe.training.max_steps or 0) in (path.name for path in list_checkpoints(run)):
            return
        speed = measure_speed(recipe, run.parent)
        threads = "one thread" if speed.threads == 1 else f"{speed.threads} threads"
        self._progress.say(f"Trains fastest with {threads} here: {speed.steps_per_second:.1f} steps/s.")
        if to_fit and not begun:
            recipe = self._fit_time(recipe, speed)
        with num_threads(speed.threads):
            train(recipe, run, resume=begun, progress=self._progress)

    def _fit_time(self, recipe: Recipe, speed: Speed) -> Recipe:
        """The recipe with as many steps as fit the time that is left."""
        size = self._options.size
        seconds_left = 60 * self._options.minutes - self._elapsed - SECONDS_AFTER_TRAINING[size]
        fewest, most = STEP_LIMITS[size]
        steps = round(min(max(seconds_left * speed.steps_per_second, fewest), most))
        self._progress.say(f"{steps} steps of {recipe.training.batch_size} images fit the time left.")
        every = ("validate_every_steps", "preview_every_steps", "checkpoint_every_steps")
        return with_training(recipe, max_steps=steps, **dict.fromkeys(every, -(-steps // 3)))

    def _score(self) -> tuple[AttributeReport, DistributionReport]:
        folders, seed = self._folders, self._options.seed
        count = 16 if self._smoke else self._options.num_scored
        asked = AttributeOptions(num_samples=count, seed=seed, data=folders.dataset)
        features = f"classifier:{folders.classifier}"
        judged_by = DistributionOptions(features=features, num_samples=count, seed=seed, requests=asked.split)
        with drawing_once():  # both judge the same faces
            attributes = evaluate_attributes(folders.run, folders.classifier, asked, self._progress)
            fid = evaluate(folders.run, folders.dataset, ("fid",), judged_by, self._progress)
        return attributes, fid
