"""The whole way in one go, offline: rendered avatars to a trained, sampled and scored generator.

Every stage is the public function that the command of the same name calls, so the demo is also the
shortest example of using the library. Stopped anywhere, it goes on where it stood.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from facegen.config.composition import compose
from facegen.config.recipe import Recipe, parse_recipe
from facegen.formats.files import atomic_write, write_json
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.workflows._demo_folders import DemoFolders
from facegen.workflows.demo_report import write_demo_report

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.evaluation.scores import AttributeReport, FidReport

SHOWCASE_PROMPTS = (
    "smiling, blond hair, glasses",
    "a bald person with a beard",
    "black curly hair, not smiling",
    "red hair and sunglasses",
    "a smiling person wearing a hat",
    "long brown hair, no glasses",
    "gray hair, a mustache, mouth open",
    "bald, dark skin, glasses, smiling",
)
"""What the demo's final grid asks for."""

SWITCH_BASE = "a person with short brown hair"
SWITCHES = ("glasses", "sunglasses", "smiling", "a beard", "a mustache", "long hair")
"""Asked for one at a time on top of `SWITCH_BASE`, with the noise unchanged."""

STAGES = ("avatars", "autoencoder", "latents", "classifier", "generator", "pictures", "scores")
CALIBRATION_STEPS = 40
SECONDS_AFTER_TRAINING = {"full": 80.0, "smoke": 5.0}  # pictures, scores and report; measured on two cores
STEP_LIMITS = {"full": (400, 20_000), "smoke": (6, 12)}


@dataclass(frozen=True)
class DemoOptions:
    """`minutes` is the wall-clock goal: what the other stages leave goes to the generator's training.

    `size="smoke"` makes everything as small as it can be, to try the machinery out in seconds.
    """

    minutes: float = 8.0
    seed: int = 0
    size: Literal["full", "smoke"] = "full"
    num_avatars: int = 9000
    num_scored: int = 500


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


def demo(out: Path, options: DemoOptions = DemoOptions(), progress: Progress | None = None) -> DemoSummary:
    """Render, train, encode, sample, score and report into `out`; return where things are.

    Raises:
        UsageError: `out` holds a demo made with other settings.
        StorageError: the disk is full; run the same command again once there is room.
    """
    progress = progress or SilentProgress()
    folders = DemoFolders(out)
    out.mkdir(parents=True, exist_ok=True)
    clock = _Clock(progress)
    _prepare_avatars(folders, options, clock, progress)
    with clock.stage("autoencoder", "learning to squeeze 64x64 pixels into 16x16 latents"):
        _train(_recipe("avatars-autoencoder", folders.dataset, options), folders.autoencoder, progress)
    _encode_latents(folders, options, clock, progress)
    with clock.stage("classifier", "learning to tell the attributes, to judge by"):
        _train(_recipe("avatars-classifier", folders.dataset, options), folders.classifier, progress)
    with clock.stage("generator", "learning to draw faces for attributes"):
        _train(_generator_recipe(folders, options, clock, progress), folders.run, progress)
    with clock.stage("pictures", "drawing what the words ask for"):
        grid = _draw_pictures(folders, options)
    with clock.stage("scores", "counting what came true"):
        attributes, fid = _score(folders, options, progress)
    write_json(out / "timings.json", {"seconds": clock.seconds, "total": round(clock.elapsed_seconds, 1)})
    report = write_demo_report(folders, attributes, fid, clock.seconds)
    progress.say(f"Done in {clock.elapsed_seconds / 60:.1f} minutes. Open {report} in a browser.")
    return DemoSummary(out, report, grid, clock.seconds, attributes.to_json(), fid.to_json())


def _recipe(preset: str, data: Path, options: DemoOptions) -> Recipe:
    settings = [f"data.path={data.resolve()}", f"training.seed={options.seed}"]
    return compose(preset, overrides=settings, size=options.size)


def _train(recipe: Recipe, run: Path, progress: Progress) -> None:
    from facegen.workflows.train import train

    train(recipe, run, resume=(run / "recipe.yaml").is_file(), progress=progress)


def _prepare_avatars(folders: DemoFolders, options: DemoOptions, clock: _Clock, progress: Progress) -> None:
    from facegen.workflows.prepare import PrepareOptions, prepare

    smoke = options.size == "smoke"
    settings = PrepareOptions(
        size=32 if smoke else 64, count=64 if smoke else options.num_avatars, seed=options.seed
    )
    with clock.stage("avatars", f"rendering {settings.count} faces whose every label is known"):
        prepare("avatars", None, folders.dataset, settings, progress)


def _encode_latents(folders: DemoFolders, options: DemoOptions, clock: _Clock, progress: Progress) -> None:
    from facegen.workflows.encode import EncodeOptions, encode

    with clock.stage("latents", "encoding every face once"):
        encode(folders.dataset, str(folders.autoencoder), folders.latents, EncodeOptions(), progress)


def _generator_recipe(
    folders: DemoFolders, options: DemoOptions, clock: _Clock, progress: Progress
) -> Recipe:
    """The preset with as many steps as fit the time that is left, measured; a begun run keeps its own."""
    from facegen.formats.run import RunDirectory

    run = RunDirectory(folders.run)
    if (folders.run / "recipe.yaml").is_file():
        return run.recipe()
    recipe = _recipe("avatars", folders.latents, options)
    seconds_left = 60 * options.minutes - clock.elapsed_seconds - SECONDS_AFTER_TRAINING[options.size]
    fewest, most = STEP_LIMITS[options.size]
    seconds_per_step = _seconds_per_step(recipe, folders.out, min(CALIBRATION_STEPS, most))
    steps = round(min(max(seconds_left / seconds_per_step, fewest), most))
    batch = recipe.training.batch_size
    progress.say(
        f"{steps} steps of {batch} images fit the time left ({1 / seconds_per_step:.1f} steps/s here)."
    )
    return _with_training(
        recipe,
        max_steps=steps,
        validate_every_steps=max(1, steps // 3),
        checkpoint_every_steps=max(1, steps // 3),
    )


def _seconds_per_step(recipe: Recipe, folder: Path, steps: int) -> float:
    from facegen.formats.run import RunDirectory
    from facegen.workflows.train import train

    trial = _with_training(
        recipe,
        max_steps=steps,
        log_every_steps=max(1, steps // 2),
        validate_every_steps=steps,
        checkpoint_every_steps=steps,
        preview_every_steps=None,
    )
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=folder) as scratch:
        run = Path(scratch) / "run"
        train(trial, run, progress=SilentProgress())
        rates = [row["images_per_second"] for row in RunDirectory(run).metrics() if row["group"] == "train"]
    return recipe.training.batch_size / rates[-1]  # the last window: the first pays for warming up


def _with_training(recipe: Recipe, **changes: Any) -> Recipe:
    data = recipe.model_dump(mode="json")
    return parse_recipe({**data, "training": {**data["training"], **changes}})


def _draw_pictures(folders: DemoFolders, options: DemoOptions) -> Path:
    """Write `faces.png`, the final grid, and `switches.png`, one word changed at unchanged noise."""
    from facegen.formats.images import image_grid, pil_to_png
    from facegen.workflows.generator import FaceGenerator

    generator = FaceGenerator.load(folders.run)
    per_prompt = 2 if options.size == "smoke" else 6
    columns = len(SHOWCASE_PROMPTS)
    faces = _faces(generator, SHOWCASE_PROMPTS, per_prompt, options.seed)
    order = [column * per_prompt + row for row in range(per_prompt) for column in range(columns)]
    captions = [SHOWCASE_PROMPTS[i % columns] if i >= len(order) - columns else "" for i in range(len(order))]
    grid = image_grid(faces[order], columns, captions, scale=2)
    atomic_write(folders.out / "faces.png", pil_to_png(grid))

    prompts = (SWITCH_BASE, *(f"{SWITCH_BASE}, {word}" for word in SWITCHES if word != "long hair"))
    prompts = (*prompts, "a person with long brown hair")
    rows = 1 if options.size == "smoke" else 3
    switched = _faces(generator, prompts, rows, options.seed + 1000)
    order = [column * rows + row for row in range(rows) for column in range(len(prompts))]
    titles = [SWITCH_BASE, *(f"+ {word}" for word in SWITCHES)]
    captions = [titles[i % len(titles)] if i >= len(order) - len(titles) else "" for i in range(len(order))]
    atomic_write(
        folders.out / "switches.png", pil_to_png(image_grid(switched[order], len(titles), captions, scale=2))
    )
    return folders.out / "faces.png"


def _faces(generator: Any, prompts: tuple[str, ...], per_prompt: int, seed: int) -> Tensor:
    """uint8 (len(prompts) * per_prompt, 3, H, W); the k-th picture of every prompt starts from one noise."""
    import torch

    rows = [generator.conditioner.inputs_from(generator.read(prompt)) for prompt in prompts]
    inputs = torch.cat(rows).repeat_interleave(per_prompt, dim=0)
    seeds = [seed + k for _ in prompts for k in range(per_prompt)]
    return generator.generate(inputs, seeds, generator.recipe.sampling)


def _score(
    folders: DemoFolders, options: DemoOptions, progress: Progress
) -> tuple[AttributeReport, FidReport]:
    from facegen.workflows.evaluate_attributes import AttributeOptions, evaluate_attributes
    from facegen.workflows.evaluate_fid import FidOptions, evaluate_fid

    count = 16 if options.size == "smoke" else options.num_scored
    attributes = evaluate_attributes(
        folders.run,
        folders.classifier,
        AttributeOptions(num_samples=count, seed=options.seed, data=folders.dataset),
        progress,
    )
    fid = evaluate_fid(
        folders.run,
        folders.dataset,
        FidOptions(features=f"classifier:{folders.classifier}", num_samples=count, seed=options.seed),
        progress,
    )
    return attributes, fid
