"""The whole way in one go, offline: rendered avatars to a trained, sampled and scored generator.

Every stage is the public function that the command of the same name calls, so the demo is also the
shortest example of using the library. Stopped anywhere, it goes on where it stood.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.demo.folders import DemoFolders
from facegen.demo.options import DemoOptions
from facegen.demo.page import write_demo_report
from facegen.formats.files import write_json
from facegen.progress import SilentProgress
from facegen.protocols import Progress

if TYPE_CHECKING:
    from facegen.demo.speed import Speed
    from facegen.evaluation.attributes import AttributeReport
    from facegen.evaluation.distribution import DistributionReport

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
        return {**asdict(self), "out": str(self.out), "report": str(self.report), "grid": str(self.grid)}


class _Clock:
    """Seconds per stage and in all; says which stage begins."""

    def __init__(self, progress: Progress) -> None:
        self.started = time.monotonic()
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.started

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        number = STAGES.index(name) + 1
        self._progress.say(f"[{number}/{len(STAGES)}] {name}: {about} ({self.elapsed_seconds:.0f} s so far)")
        begun = self.elapsed_seconds
        yield
        self.seconds[name] = round(self.elapsed_seconds - begun, 1)


def demo(out: Path, options: DemoOptions | None = None, progress: Progress | None = None) -> DemoSummary:
    """Render, train, encode, sample, score and report into `out`; return where things are.

    Raises:
        UsageError: `out` holds a demo made with other settings.
        StorageError: the disk is full; run the same command again once there is room.
    """
    options, progress = options or DemoOptions(), progress or SilentProgress()
    folders = DemoFolders(out)
    out.mkdir(parents=True, exist_ok=True)
    clock = _Clock(progress)

    def as_it_is(recipe: Recipe, speed: Speed) -> Recipe:
        return recipe

    def to_fit(recipe: Recipe, speed: Speed) -> Recipe:
        return _fit_time(recipe, speed, options, clock, progress)

    _prepare_avatars(folders, options, clock, progress)
    with clock.stage("autoencoder", "learning to squeeze 64x64 pixels into 16x16 latents"):
        recipe = _recipe("avatars-autoencoder", folders.dataset, options)
        _train(recipe, folders.autoencoder, progress, as_it_is)
    _encode_latents(folders, options, clock, progress)
    with clock.stage("classifier", "learning to tell the attributes, to judge by"):
        recipe = _recipe("avatars-classifier", folders.dataset, options)
        _train(recipe, folders.classifier, progress, as_it_is)
    with clock.stage("generator", "learning to draw faces for attributes"):
        recipe = _recipe("avatars", folders.latents, options)
        _train(recipe, folders.run, progress, to_fit)
    with clock.stage("pictures", "drawing what the words ask for"):
        grid = _draw_pictures(folders, options)
    with clock.stage("scores", "counting what came true"):
        attributes, fid = _score(folders, options, progress)
    write_json(out / "timings.json", {"seconds": clock.seconds, "total": round(clock.elapsed_seconds, 1)})
    report = write_demo_report(folders, clock.seconds)
    progress.say(f"Done in {clock.elapsed_seconds / 60:.1f} minutes. Open {report} in a browser.")
    return DemoSummary(out, report, grid, clock.seconds, attributes.to_json(), fid.to_json())


def _recipe(preset: str, data: Path, options: DemoOptions) -> Recipe:
    settings = [f"data.path={json.dumps(str(data.resolve()))}", f"training.seed={options.seed}"]
    return compose(preset, overrides=settings, size=options.size)


def _train(recipe: Recipe, run: Path, progress: Progress, fit: Callable[[Recipe, Speed], Recipe]) -> None:
    """Train with the number of threads that is fastest here; `fit` sets the length of a new run."""
    from facegen.demo.speed import measure_speed, num_threads
    from facegen.formats.checkpoint import checkpoint_name, list_checkpoints
    from facegen.formats.run import RunDirectory
    from facegen.training.train import train

    begun = RunDirectory(run).exists
    if begun:
        recipe = RunDirectory(run).recipe()
    if checkpoint_name(recipe.training.max_steps or 0) in (path.name for path in list_checkpoints(run)):
        return
    speed = measure_speed(recipe, run.parent)
    threads = "one thread" if speed.threads == 1 else f"{speed.threads} threads"
    progress.say(f"Trains fastest with {threads} here: {speed.steps_per_second:.1f} steps/s.")
    with num_threads(speed.threads):
        train(recipe if begun else fit(recipe, speed), run, resume=begun, progress=progress)


def _prepare_avatars(folders: DemoFolders, options: DemoOptions, clock: _Clock, progress: Progress) -> None:
    from facegen.preparation.prepare import PrepareOptions, prepare

    smoke = options.size == "smoke"
    settings = PrepareOptions(
        size=32 if smoke else 64, count=64 if smoke else options.num_avatars, seed=options.seed
    )
    with clock.stage("avatars", f"rendering {settings.count} faces whose every label is known"):
        prepare("avatars", None, folders.dataset, settings, progress)


def _encode_latents(folders: DemoFolders, options: DemoOptions, clock: _Clock, progress: Progress) -> None:
    from facegen.encoding.encode import EncodeOptions, encode

    with clock.stage("latents", "encoding every face once"):
        encode(folders.dataset, str(folders.autoencoder), folders.latents, EncodeOptions(), progress)


def _fit_time(
    recipe: Recipe, speed: Speed, options: DemoOptions, clock: _Clock, progress: Progress
) -> Recipe:
    """The recipe with as many steps as fit the time that is left."""
    from facegen.demo.speed import with_training

    seconds_left = 60 * options.minutes - clock.elapsed_seconds - SECONDS_AFTER_TRAINING[options.size]
    fewest, most = STEP_LIMITS[options.size]
    steps = round(min(max(seconds_left * speed.steps_per_second, fewest), most))
    progress.say(f"{steps} steps of {recipe.training.batch_size} images fit the time left.")
    third = -(-steps // 3)
    return with_training(
        recipe,
        max_steps=steps,
        validate_every_steps=third,
        preview_every_steps=third,
        checkpoint_every_steps=third,
    )


def _draw_pictures(folders: DemoFolders, options: DemoOptions) -> Path:
    from facegen.demo.pictures import draw_pictures

    if options.size == "smoke":
        return draw_pictures(folders, options.seed, rows=2, switch_rows=1)
    return draw_pictures(folders, options.seed, rows=6, switch_rows=3)


def _score(
    folders: DemoFolders, options: DemoOptions, progress: Progress
) -> tuple[AttributeReport, DistributionReport]:
    from facegen.evaluation.attributes import AttributeOptions, evaluate_attributes
    from facegen.evaluation.distribution import DistributionOptions, evaluate_distribution

    count = 16 if options.size == "smoke" else options.num_scored
    attributes = evaluate_attributes(
        folders.run,
        folders.classifier,
        AttributeOptions(num_samples=count, seed=options.seed, data=folders.dataset),
        progress,
    )
    judged_by = DistributionOptions(
        features=f"classifier:{folders.classifier}", num_samples=count, seed=options.seed
    )
    fid = evaluate_distribution(folders.run, folders.dataset, ("fid",), judged_by, progress)
    return attributes, fid
