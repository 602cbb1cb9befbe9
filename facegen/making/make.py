"""`facegen make`: from a source of faces to a judged generator, in a given time.

Every stage is the public function that the command of the same name calls. Stopped anywhere, the same
command goes on where it stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facegen.config.kinds import spelt
from facegen.config.recipe import Recipe
from facegen.datasets import recognise
from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.files import read_json, scratch_folder, write_json
from facegen.formats.model_folders import is_hub_name
from facegen.formats.plain import from_plain, plain
from facegen.formats.run import RunDirectory
from facegen.making.options import MakeFolders, MakeOptions
from facegen.making.page import Made, write_make_report
from facegen.making.pictures import draw_askable
from facegen.making.plan import MOST_EPOCHS, Plan, check_enough, make_plan
from facegen.making.probe import Machine, Preparation, probe_preparation
from facegen.making.scores import judge, told_scores
from facegen.making.speed import num_threads, with_length, with_training
from facegen.making.ways import Recipes, asked_with, way_for
from facegen.models.devices import resolve_device
from facegen.preparation.options import PrepareOptions
from facegen.preparation.prepare import prepare
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.train import train

PLAN_FORMAT_VERSION = TIMES_FORMAT_VERSION = 1
PLAN = "plan.json"
USUAL_GENERATOR_SHARE = 0.5  # of all
PREPARED = "prepared"  # the kind of a source that `facegen prepare` made
FEW_FACES = 2000
SMOKE_PIXELS = 32
LEAST_OF_PLANNED = 0.5  # that the generator trains, however late the others ended
MOST_OF_PLANNED = 1.2  # however early
NOTICED = 1.0  # seconds below which a stage was done already


@dataclass(frozen=True)
class Showing:
    """How the result is shown: `draw` writes the pictures, `write_page` the page."""

    draw: Callable[[MakeFolders, Plan, Path], None] = draw_askable
    write_page: Callable[[Made], Path] = write_make_report


@dataclass(frozen=True)
class MakeSummary:
    """Where everything lies; seconds by stage as planned and as they were; the headline scores."""

    out: Path
    report: Path
    grid: Path
    run: Path
    kind: str
    planned: dict[str, float]
    took: dict[str, float]
    scores: dict[str, dict[str, Any]]

    @property
    def headlines(self) -> dict[str, str]:
        """What the scores say, by what they are of."""
        return told_scores(self.scores)

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def make(
    source: Path | None,
    out: Path,
    options: MakeOptions | None = None,
    progress: Progress | None = None,
    showing: Showing | None = None,
) -> MakeSummary:
    """Look at `source`, plan, and do it: prepare, train, sample, judge and report into `out`.

    Raises:
        UsageError: `out` holds something made of another source or with other options, or the time is too
            short.
        DataError: nothing at `source` looks like faces, too few of them can be used, or preparing refuses it.
        MissingModelError: photos, and nothing is installed that finds faces.
        StorageError: the disk is full; run the same command again once there is room.
    """
    options, progress = options or MakeOptions(), progress or SilentProgress()
    _check_out(out)
    return _Making(source, MakeFolders(out), options, progress, showing or Showing()).run()


def _check_out(out: Path) -> None:
    """Refuse a file, or a folder that holds something and no plan; what a killed trial left is hidden."""
    held = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    if out.is_file() or (held and PLAN not in held):
        holds = f"holds something else, such as '{held[0]}'" if held else "is a file"
        raise UsageError(f"'{out}' {holds}.", hint="Take another --out.")


class _Making:
    """The stages, and the seconds that each took, those of interrupted calls among them."""

    def __init__(
        self,
        source: Path | None,
        folders: MakeFolders,
        options: MakeOptions,
        progress: Progress,
        showing: Showing,
    ) -> None:
        self._source, self._folders, self._options = source, folders, options
        self._progress, self._showing = progress, showing
        self._smoke = options.scale == "smoke"
        self._started = time.monotonic()
        self._plan_file, self._times_file = folders.out / PLAN, folders.out / "times.json"
        self._took: dict[str, float] = {}
        if self._times_file.exists():
            self._took = read_json(self._times_file, TIMES_FORMAT_VERSION)["seconds"]
        self._spent_before = sum(self._took.values())

    def run(self) -> MakeSummary:
        self._plan = self._opened_plan()
        plan, folders = self._plan, self._folders
        self._dataset = (
            self._source if plan.kind == PREPARED and self._source is not None else folders.dataset
        )
        self._recipes = Recipes(plan.way, plan.asked, self._options.seed, self._options.scale)
        stages = {
            "faces": self._prepare,
            "autoencoder": self._train_autoencoder,
            "latents": self._encode,
            "classifier": self._train_classifier,
            "generator": self._train_generator,
            "pictures": lambda: self._showing.draw(folders, plan, self._dataset),
        }
        names = [*plan.seconds]
        for name, do in stages.items():
            if name in names:
                with self._stage(name):
                    do()
        with self._stage("scores"):
            scores = judge(folders, plan, self._dataset, self._options.seed, self._progress)
        made = Made(folders, self._dataset, plan, self._took, scores)
        report = self._showing.write_page(made)
        self._progress.say(
            f"Done in {sum(self._took.values()) / 60:.1f} minutes. Open {report} in a browser."
        )
        return MakeSummary(
            folders.out, report, folders.grid, folders.run, plan.kind, plan.seconds, self._took, scores
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Say that a stage begins, and note how long it took, also if it is interrupted."""
        number, names = [*self._plan.seconds].index(name) + 1, [*self._plan.seconds]
        planned = self._plan.seconds[name] / 60
        self._progress.say(f"[{number}/{len(names)}] {name}: {self._plan.about(name)} ({planned:.1f} min)")
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - begun
            if seconds > NOTICED or name not in self._took:
                self._took[name] = round(self._took.get(name, 0.0) + seconds, 1)
            write_json(self._times_file, {"format_version": TIMES_FORMAT_VERSION, "seconds": self._took})

    def _opened_plan(self) -> Plan:
        """The plan that stands in the folder, or a new one.

        Raises:
            UsageError: it stands there for another command.
        """
        options = self._options
        command = {
            "source": None if self._source is None else self._source.resolve().name,
            **{name: getattr(options, name) for name in ("minutes", "seed", "kind", "autoencoder", "scale")},
        }
        if self._plan_file.exists():
            data = read_json(self._plan_file, PLAN_FORMAT_VERSION)
            plan = from_plain(Plan, data, self._plan_file)
            other = [name for name, value in command.items() if plan.command.get(name) != value]
            if other:
                told = ", ".join(f"{name} {plan.command.get(name)}" for name in other)
                raise UsageError(
                    f"'{self._folders.out}' was made with {told}.",
                    hint="Repeat that command to go on with it, or take another --out.",
                )
            self._progress.say(f"Going on with the plan in '{self._plan_file}'.")
            return plan
        plan = self._new_plan(command)
        write_json(self._plan_file, {"format_version": PLAN_FORMAT_VERSION, **plan.to_json()})
        return plan

    def _new_plan(self, command: dict[str, Any]) -> Plan:
        options, progress, out = self._options, self._progress, self._folders.out
        kind, why, count = self._recognised()
        progress.say(f"Taken for {kind}: {why}.")
        on_gpu = resolve_device("auto").type == "cuda"
        way = way_for(kind, options.minutes, on_gpu=on_gpu)
        with scratch_folder(out / "trial") as scratch:
            way = replace(way, pixels=SMOKE_PIXELS) if self._smoke else way
            if kind == PREPARED:
                assert self._source is not None
                preparation = _prepared(self._source)
                way = replace(way, pixels=Dataset.open(self._source).manifest.image_size)
            else:
                told = PrepareOptions(size=way.pixels, seed=options.seed)
                preparation = probe_preparation(kind, self._source, count, told, scratch)
            check_enough(preparation.num_faces)
            machine = Machine(way, preparation.asked, options.scale, options.autoencoder, scratch)
            rates = machine.rates(preparation.num_faces, USUAL_GENERATOR_SHARE * 60 * options.minutes)
        plan = make_plan(
            preparation,
            rates,
            seconds_left=60 * options.minutes - (time.monotonic() - self._started),
            num_scored=16 if self._smoke else options.num_scored,
            smoke=self._smoke,
            command=command,
            kind=kind,
            why=why,
            way=way,
        )
        spent = (time.monotonic() - self._started) / 60
        progress.say(f"The plan, after {spent:.1f} minutes of trying out how fast this machine is:")
        for line in plan.lines():
            progress.say(line)
        if plan.num_faces < FEW_FACES:
            progress.warn(
                f"About {plan.num_faces:,} faces are few: expect faces that resemble them, and copies, which "
                f"the last stage looks for. From some {FEW_FACES:,} on there are fewer."
            )
        return plan

    def _recognised(self) -> tuple[str, str, int]:
        """Kind of the source, the evidence, and how many images it has."""
        source, asked = self._source, self._options.kind
        if source is None:
            kind = spelt("datasets", asked or "avatars")
            return kind, "drawn here", self._options.num_drawn or 10_000
        if asked is None and (source / MANIFEST_NAME).is_file():
            counts = Dataset.open(source).manifest.counts
            return PREPARED, f"{MANIFEST_NAME} is there", sum(counts.values())
        if not source.exists() and is_hub_name(source.as_posix()):
            raise UsageError(
                f"'{source}' is not here; if it is a data set of the hub, it has to be fetched first.",
                hint=f"facegen prepare hub {source} --out data/hub && facegen make data/hub",
            )
        kind, found = recognise(source)
        if asked is not None and (chosen := spelt("datasets", asked)) != kind:
            return chosen, f"asked for; it looks like {kind}", found.num_images
        return kind, found.why, found.num_images

    def _prepare(self) -> None:
        if self._plan.kind == PREPARED:
            return
        drawn = self._options.num_drawn if self._source is None else None
        options = PrepareOptions(size=self._plan.way.pixels, seed=self._options.seed, count=drawn)
        prepare(self._plan.kind, self._source, self._folders.dataset, options, self._progress)

    def _train_autoencoder(self) -> None:
        self._train("autoencoder", self._recipes.autoencoder(self._dataset), self._folders.autoencoder)

    def _train_classifier(self) -> None:
        self._train("classifier", self._recipes.classifier(self._dataset), self._folders.classifier)

    def _train_generator(self) -> None:
        """As long as the other stages leave, those to come at what is planned for them; about as planned."""
        plan = self._plan
        to_come = sum(plan.seconds[name] for name in ("pictures", "scores"))
        elapsed = self._spent_before + time.monotonic() - self._started
        left = 60 * self._options.minutes - elapsed - to_come
        planned = plan.seconds["generator"]
        share = min(MOST_OF_PLANNED, max(LEAST_OF_PLANNED, left / planned))
        recipe = self._recipes.generator(self._folders.latents)
        most = max(plan.steps["generator"], MOST_EPOCHS * plan.num_faces // recipe.training.batch_size)
        steps = max(1, min(most, round(plan.steps["generator"] * share)))
        self._train("generator", recipe, self._folders.run, steps)

    def _train(self, name: str, recipe: Recipe, run: Path, steps: int | None = None) -> None:
        """Train for the planned number of steps, or go on with what was begun."""
        begun = RunDirectory(run).exists
        if begun:  # its data are where this call sees them
            data = RunDirectory(run).recipe().data.model_copy(update={"path": recipe.data.path})
            recipe = RunDirectory(run).recipe().model_copy(update={"data": data})
        else:
            recipe = with_length(recipe, steps or self._plan.steps[name])
            if name in self._plan.compiled:
                recipe = with_training(recipe, compile=True)
        if checkpoint_name(recipe.training.max_steps or 0) in (path.name for path in list_checkpoints(run)):
            return
        with num_threads(self._plan.threads[name]):
            train(recipe, run, resume=begun, progress=self._progress)

    def _encode(self) -> None:
        autoencoder = self._options.autoencoder or str(self._folders.autoencoder)
        options = EncodeOptions(flips=self._plan.way.flips)
        encode(self._dataset, autoencoder, self._folders.latents, options, self._progress)


def _prepared(dataset: Path) -> Preparation:
    """A data set that is there already."""
    manifest = Dataset.open(dataset).manifest
    asked = asked_with(manifest.labels, manifest.class_counts)
    return Preparation(0.0, sum(manifest.counts.values()), asked)
