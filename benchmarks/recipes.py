"""Recipes for photographs of faces side by side: as long on the same core, judged in three feature spaces.

python benchmarks/recipes.py OUT --faces CELEBA                     half a day or so of one core
python benchmarks/recipes.py OUT --faces CELEBA --only flow-dit     one of them
python benchmarks/recipes.py OUT --smoke                            minutes, on rendered avatars

CELEBA is a folder as `facegen prepare celeba` takes it. Every recipe trains for --minutes with one thread:
some steps of each are timed, in turns, and as many as fit are the length of its run, so that it does not
matter what else the machine does later. What draws is compiled for training; that, autoencoders, validation,
drawing and the judge come on top. Stopped anywhere, the same command goes on; what was timed stands in
OUT/speeds.json, what was judged in OUT/results.json. --until timed ends once everything that all share is
there; from then on several calls may work in the same OUT, each on recipes and a core of its own.

  flow-dit                       this project's recipe
  flow-dit-few                   the same in 1 to 16 calls of the network, taught in a quarter of that time
  celeba-attributes              the one before it
  S1                             attribute-ldm as it was published, without guidance and averaged weights, in
                                 the latents of celeba-attributes
  peer-diffusers-unconditional   diffusers' example, in pixels
  peer-ddpm-pytorch              denoising-diffusion-pytorch, in pixels

Otherwise than by themselves, all are drawn by DPM-Solver++ in 20 steps, where the last three take up to
1,000, and warm up for a tenth of their steps at most. The first four are asked for the labels of held-out
faces, the peers for anyone; S1 has no mirror images, as published.

Three columns of the table are excesses: the Fréchet distance to the training faces, less that of as many
held-out faces. "copies" are the faces nearer to a training face than 1 % of unseen faces are.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from filelock import FileLock

from facegen.config.composition import compose
from facegen.config.recipe import Recipe
from facegen.encoding.encode import EncodeOptions, encode
from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.memorization import evaluate_memorization
from facegen.evaluation.options import (
    AttributeOptions,
    DistributionOptions,
    LabelledSelection,
    MemorizationOptions,
)
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.formats.files import write_json
from facegen.formats.latents import INDEX_FILE
from facegen.formats.run import RunDirectory
from facegen.making.speed import measure_speed, with_training
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress
from facegen.sampling.records import drawing_once
from facegen.training.train import train

QUIET = SilentProgress()
STEPS, NUM_DRAWN = 20, 790
OTHER_FEATURES = ("efficientnet-lite0", "random-inception")
TIMED_ROUNDS = 3
LONG_MINUTES, JUDGE_EPOCHS = 120.0, 60
REQUESTS = "validation"  # whose labels are asked for, and who they are compared with as a floor
GUIDANCE = (1.0, 1.5, 2.0)
COMPILED = ("training.compile=true",)
PUBLISHED = ("ema.enabled=false", "conditioner.dropout=0", "sampling.guidance_scale=1")
IN_TWENTY = ("sampling.sampler.kind=dpmpp_2m", f"sampling.steps={STEPS}")

IN_PIXELS = (*IN_TWENTY, "task.validation_examples=64")


@dataclass(frozen=True)
class Setup:
    """A preset with changes, in the latents of the autoencoder of another preset, or in pixels.

    `share` of the time is its own, where another one is its `teacher`.
    """

    preset: str
    autoencoder: str | None = None
    changes: tuple[str, ...] = IN_TWENTY
    guidance: tuple[float, ...] = (1.0,)
    steps: tuple[int, ...] = (STEPS,)
    teacher: str | None = None
    share: float = 1.0


SETUPS = {
    "flow-dit": Setup("flow-dit", "flow-dit-autoencoder", guidance=GUIDANCE),
    "flow-dit-few": Setup(
        "flow-dit-few", "flow-dit-autoencoder", (), steps=(1, 2, 4, 8, 16), teacher="flow-dit", share=0.25
    ),
    "celeba-attributes": Setup("celeba-attributes", "celeba-autoencoder", guidance=GUIDANCE),
    "S1": Setup("attribute-ldm", "celeba-autoencoder", (*IN_TWENTY, *PUBLISHED)),
    "peer-diffusers-unconditional": Setup("peer-diffusers-unconditional", changes=IN_PIXELS),
    "peer-ddpm-pytorch": Setup("peer-ddpm-pytorch", changes=IN_PIXELS),
}


@dataclass(frozen=True)
class Bench:
    """Where everything lies, and how long a recipe trains."""

    out: Path
    faces: Path | None
    minutes: float
    seed: int
    smoke: bool
    pixels: int = 64
    samples: int = NUM_DRAWN

    @property
    def size(self) -> str:
        return "smoke" if self.smoke else "full"

    def data(self) -> Path:
        """The prepared faces."""
        folder = self.out / "faces"
        if not folder.exists():
            kind = "avatars" if self.faces is None else "celeba"
            options = PrepareOptions(size=self.pixels, count=400 if self.smoke else None)
            prepare(kind, self.faces, folder, options, QUIET)
        return folder

    def judge(self) -> Path:
        """The attribute classifier whose features are one of the three; trained for less in a short bench."""
        epochs = max(20, round(JUDGE_EPOCHS * min(1, self.minutes / LONG_MINUTES)))
        told = () if self.smoke else (f"training.epochs={epochs}",)
        return self.trained("judge", self.recipe("attribute-classifier", self.data(), told))

    def latents(self, autoencoder: str) -> Path:
        run = self.trained(autoencoder, self.recipe(autoencoder, self.data()))
        folder = self.out / f"latents-{autoencoder}"
        if not (folder / INDEX_FILE).exists():
            encode(self.data(), str(run), folder, EncodeOptions(flips=True), QUIET)
        return folder

    def recipe(self, preset: str, data: Path, changes: tuple[str, ...] = ()) -> Recipe:
        told = [
            f"data.path={json.dumps(str(data.resolve()))}",
            f"training.seed={self.seed}",
            *changes,
        ]
        return compose(preset, overrides=told, size=self.size)

    def trained(self, name: str, recipe: Recipe, minutes: float | None = None) -> Path:
        """The finished run, of as many steps as fit `minutes`, or as the recipe says."""
        run = RunDirectory(self.out / name)
        begun = run.exists
        if begun:
            recipe = run.recipe()
        elif minutes is not None:
            speed = self.speeds({name: recipe})[name]
            steps = max(1, round(60 * minutes * speed))
            every = dict.fromkeys(("validate_every_steps", "checkpoint_every_steps"), -(-steps // 8))
            recipe = with_training(recipe, max_steps=steps, epochs=None, preview_every_steps=None, **every)
            warmup_steps = min(recipe.optimizer.warmup_steps, steps // 10)
            optimizer = recipe.optimizer.model_copy(update={"warmup_steps": warmup_steps})
            recipe = recipe.model_copy(update={"optimizer": optimizer})
        done = {path.name for path in list_checkpoints(run.path)} if begun else set[str]()
        if checkpoint_name(recipe.training.max_steps or 0) not in done:
            print(train(recipe, run.path, resume=begun).validation["verdict"])
        return run.path

    def speeds(self, recipes: dict[str, Recipe]) -> dict[str, float]:
        """Steps a second: medians of rounds in which each had its turn, or as they were timed before."""
        file = self.out / "speeds.json"
        known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        untimed = [name for name in recipes if name not in known]
        rounds = [
            {name: measure_speed(recipes[name], self.out).steps_per_second for name in untimed}
            for _ in range(TIMED_ROUNDS)
        ]
        known |= {name: median(one[name] for one in rounds) for name in untimed}
        write_json(file, known)
        return known

    def untaught(self, names: list[str]) -> dict[str, Recipe]:
        """The recipes of those that have no teacher, with their data."""
        setups = {name: SETUPS[name] for name in names if SETUPS[name].teacher is None}
        return {name: self.recipe_of(one) for name, one in setups.items()}

    def recipe_of(self, setup: Setup, *changes: str) -> Recipe:
        compiled = () if self.smoke else COMPILED
        return self.recipe(setup.preset, self.data_of(setup), (*setup.changes, *changes, *compiled))

    def data_of(self, setup: Setup) -> Path:
        return self.data() if setup.autoencoder is None else self.latents(setup.autoencoder)

    def judged(self, setup: Setup, run: Path) -> list[dict[str, Any]]:
        """Scores of the run at each guidance."""
        data, judge = self.data(), self.judge()
        features = (f"classifier:{judge}", *(() if self.smoke else OTHER_FEATURES))
        num_samples = 16 if self.smoke else self.samples
        rows: list[dict[str, Any]] = []
        for guidance, steps in product(setup.guidance, setup.steps):
            chosen: dict[str, Any] = {"num_samples": num_samples, "guidance": guidance, "steps": steps}
            row: dict[str, Any] = {"guidance": guidance, "steps": steps}
            with drawing_once():
                for name in features:
                    options = DistributionOptions(features=name, requests=REQUESTS, **chosen)
                    row[name.partition(":")[0]] = _told(evaluate(run, data, ("fid",), options))
                if setup.autoencoder is not None:
                    asked = evaluate_attributes(run, judge, AttributeOptions(data=data, **chosen))
                    row["attributes"] = asked.to_json()
                selection = LabelledSelection(split=REQUESTS, data=data, **chosen)
                rate = 0.1 if self.smoke else 0.01
                options = MemorizationOptions(features=features[0], selection=selection, nominal_rate=rate)
                row["memorization"] = evaluate_memorization(run, data, options).to_json()
            rows.append(row)
        return rows


def _told(report: Any) -> dict[str, float | None]:
    """Distance, floor, ceiling and excess of one report."""
    row = report.scores["fid"]
    return {
        "fid": row.value,
        "low": row.low,
        "high": row.high,
        "floor": row.floor,
        "ceiling": row.ceiling,
        "excess": None if row.floor is None else row.value - row.floor,
    }


def main(bench: Bench, names: list[str], until: str = "judged") -> Path:
    """Train and judge the named recipes; return the file of results."""
    bench.out.mkdir(parents=True, exist_ok=True)
    results, settings = bench.out / "results.json", _settings(bench)
    read_results(results, settings)
    if not bench.smoke:
        bench.speeds(bench.untaught(names))
        bench.judge()
    for name in names if until == "judged" else ():
        told = read_results(results, settings)
        if name in told:
            continue
        setup = SETUPS[name]
        if setup.teacher is not None and setup.teacher not in told:
            raise SystemExit(f"'{name}' is taught by '{setup.teacher}', which comes first.")
        taught = ()
        if setup.teacher is not None:
            taught = (f"task.teacher={json.dumps(str((bench.out / setup.teacher).resolve()))}",)
        recipe = bench.recipe_of(setup, *taught)
        run = bench.trained(name, recipe, None if bench.smoke else bench.minutes * setup.share)
        scores = {"record": record(run), "scores": bench.judged(setup, run)}
        with FileLock(results.with_suffix(".lock")):
            told = read_results(results, settings) | {name: scores}  # what others judged meanwhile stays
            write_json(results, {"settings": settings, **told})
        print(table(told))
    return results


def _settings(bench: Bench) -> dict[str, Any]:
    return {"minutes": bench.minutes, "seed": bench.seed, "samples": bench.samples}


def read_results(results: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What was judged so far with these settings, by recipe."""
    told = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {"settings": settings}
    if told.pop("settings") != settings:
        raise SystemExit(f"'{results}' was made with other options; take another folder.")
    return told


def record(run: Path) -> dict[str, Any]:
    """How long a run trained, and on how much."""
    last = [row for row in RunDirectory(run).metrics() if row["group"] == "train"][-1]
    speed = last["images_per_second"]
    return {
        "steps": last["step"],
        "images": last["images_seen"],
        "images_per_second": speed,
        "minutes": last["images_seen"] / speed / 60,
    }


def table(told: dict[str, Any]) -> str:
    """A line a recipe, guidance and number of steps."""
    heads = ("recipe", "images", "minutes", "guidance", "steps", "classifier", "ImageNet", "random")
    lines = [f"| {' | '.join((*heads, 'came true', 'copies'))} |", "|---" * (len(heads) + 2) + "|"]
    for name, one in told.items():
        trained = one["record"]
        for row in one["scores"]:
            excess = [row.get(kind, {}).get("excess") for kind in ("classifier", *OTHER_FEATURES)]
            asked = row.get("attributes", {}).get("generated", {}).get("all", {}).get("share")
            cells = [
                *(name, f"{trained['images']:,}", f"{trained['minutes']:.0f}"),
                *(f"{row['guidance']:g}", str(row["steps"])),
                *("" if value is None else f"{value:.2f}" for value in excess),
                "" if asked is None else f"{asked:.1%}",
                f"{row['memorization']['share']:.1%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=Path, help="CelebA; left out: rendered avatars")
    parser.add_argument("--only", nargs="+", choices=list(SETUPS), default=list(SETUPS))
    parser.add_argument("--minutes", type=float, default=LONG_MINUTES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=NUM_DRAWN, help="faces drawn for each row")
    parser.add_argument("--until", choices=("timed", "judged"), default="judged")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(given.out, given.faces, given.minutes, given.seed, given.smoke, samples=given.samples)
    main(bench, given.only, given.until)
