"""`facegen train`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from facegen.cli.command import command
from facegen.cli.console import duration_text
from facegen.cli.results import print_facts
from facegen.options import Device, Option
from facegen.training.options import LifeOptions
from facegen.wording import number_text

if TYPE_CHECKING:
    from facegen.config.recipe import Recipe
    from facegen.protocols import Progress
    from facegen.training.dry_run import Expected
    from facegen.training.train import TrainSummary
    from facegen.training.verify_resume import Verdict

RECIPE = "Recipe: preset < config file < --set"


@dataclass(frozen=True)
class RecipeOptions:
    """What the recipe of a run is made of."""

    preset: Annotated[str | None, Option("See 'facegen config list'.", RECIPE, completes="presets")] = None
    config: Annotated[Path | None, Option("YAML file of recipe keys, laid over the preset.", RECIPE)] = None
    overrides: Annotated[
        tuple[str, ...],
        Option(
            "One recipe key, e.g. optimizer.lr=2e-4; repeatable.",
            RECIPE,
            names=("--set",),
            completes="recipe keys",
        ),
    ] = ()
    data: Annotated[
        str | None, Option("Latents (generator) or data set (the others).", RECIPE, metavar="<path>")
    ] = None
    size: Annotated[
        Literal["full", "smoke"], Option("smoke: a few steps, to try the pipeline out.", RECIPE)
    ] = "full"


def _print(result: TrainSummary | Verdict | Expected) -> None:
    from facegen.training.dry_run import Expected
    from facegen.training.train import TrainSummary

    if isinstance(result, Expected):
        _print_expected(result)
        return
    print_facts(_facts(result) if isinstance(result, TrainSummary) else result.facts())


def _facts(summary: TrainSummary) -> dict[str, Any]:
    return {
        "Run": summary.run,
        "Task": summary.task,
        "Steps": summary.steps,
        "Images seen": summary.images_seen,
        "Parameters": summary.parameters,
        "Time": duration_text(summary.seconds),
        "Skipped steps": summary.skipped_steps or None,
        "Validation loss": summary.validation.get("loss"),
        "Verdict": summary.validation.get("verdict"),
        "Scores": ", ".join(f"{name} {number_text(each)}" for name, each in summary.scores.items()) or None,
        "Stopped early": summary.stopped,
        "Best checkpoint": summary.best_checkpoint,
    }


@command(_print, many=True, watched=False)
def train(
    run: Annotated[Path, Option("Folder of the run.", completes="runs")],
    progress: Progress,
    asked: RecipeOptions,
    life: LifeOptions,
    resume: Annotated[
        Literal["never", "auto", "must"],
        Option(
            "must (or no word): go on with the run; auto: start it or go on; never: start it.", alone="must"
        ),
    ] = "never",
    device: Device = "auto",
    verify_resume: Annotated[
        bool, Option("Prove on a few steps that a resumed run equals one that never stopped.")
    ] = False,
    upload: Annotated[
        str | None,
        Option("Far folder that each checkpoint is copied to, in the background.", metavar="s3://..."),
    ] = None,
    dry_run: Annotated[
        bool, Option("Print the full recipe, tell sizes, time, memory and disk by trying, and stop.")
    ] = False,
) -> TrainSummary | Verdict | Expected:
    """Train a generator, an autoencoder or an attribute classifier.

    Which one, and how, is what the preset or config file says. The run folder gets the full recipe, metrics,
    previews and checkpoints; --resume goes on exactly where a stopped run stood, with what --set changes.

        facegen train --preset celeba-attributes --data latents/celeba --run run
        facegen train --run run --resume --set optimizer.lr=5e-5
        facegen train --run run --extend 10000
        facegen train --preset avatars --data latents --run run --resume auto
        facegen train --preset avatars --data latents --run new --from run
        facegen train --preset avatars --data latents --run run --verify-resume
        facegen train --preset avatars --data latents --run try --size smoke
        facegen train --config my.yaml --run runs/mine --dry-run
        facegen train --run run --resume auto --upload s3://bucket/runs/mine
    """
    from facegen.errors import UsageError
    from facegen.formats.run import RunDirectory
    from facegen.processes import world

    if life.extend is not None and resume == "never":
        resume = "must"
    if life.source is not None and resume == "must":
        raise UsageError("--from starts a new run; --resume goes on with one.", hint="Leave one of them out.")
    if upload is not None and (dry_run or verify_resume):
        raise UsageError("--upload is for training.", hint="Leave out --dry-run and --verify-resume.")
    if upload is not None and resume != "never":
        from facegen.training.uploading import take_back

        world().first(lambda: take_back(upload, run, progress))
    going_on = world().share(resume == "must" or (resume == "auto" and RunDirectory(run).exists))
    as_started = asked.preset is not None or asked.config is not None
    recipe = composed(asked, run if going_on else None)
    if dry_run:
        from facegen.training.dry_run import expected

        return world().first(lambda: expected(recipe, device))
    if verify_resume:
        from facegen.training.verify_resume import verify_resume as verify

        return verify(recipe, run.parent, progress, device)
    from facegen.training.train import train

    return train(recipe, run, going_on, progress, device, life=life, as_started=as_started, upload=upload)


def composed(asked: RecipeOptions, going_on: Path | None = None) -> Recipe:
    """The recipe that the options describe; `going_on` with a run, without preset or config, the run's own.

    Raises:
        UsageError: nothing to start from, unknown keys or values, nothing to resume.
    """
    from facegen.config.composition import compose
    from facegen.errors import UsageError
    from facegen.formats.run import RunDirectory

    overrides = asked.overrides
    if asked.data is not None:
        path = json.dumps(asked.data)  # JSON strings are YAML strings, whatever the path looks like
        overrides = (*overrides, f"data.path={path}")
    if going_on is None or asked.preset is not None or asked.config is not None:
        return compose(asked.preset, asked.config, overrides, size=asked.size)
    folder = RunDirectory(going_on)
    if not folder.exists:
        raise UsageError(
            f"There is nothing to resume in '{going_on}': it has no recipe.yaml.",
            hint=f"Start the run: facegen train --preset NAME --data FOLDER --run {going_on}",
        )
    folder.recipe()  # refuses outside code that only the run names
    changed = (
        f"{key}={json.dumps(new)}" for event in folder.history() for key, (_, new) in event.changes.items()
    )
    return compose(None, going_on / "recipe.yaml", (*changed, *overrides))


def _print_expected(told: Expected) -> None:
    """The recipe on stdout, as a file to keep; what is told of it on stderr."""
    import yaml

    print(yaml.safe_dump(told.to_json()["recipe"], sort_keys=False), end="")
    sizes, taken = told.sizes, told.forecast
    if sizes is None or taken is None:
        lines = ["Give --data to be told how many steps, how much time and how much memory this takes."]
    else:
        lines = [
            f"{sizes.parameters:,} parameters; {sizes.steps:,} steps over {sizes.num_examples:,} images"
            f" ({sizes.epochs:.1f} epochs); {sizes.checkpoint_bytes / 1e6:,.0f} MB a checkpoint; on a GPU"
            f" about {sizes.memory_bytes / 1e9:.2f} GB there without activations.",
            f"About {duration_text(taken.seconds)}, {taken.memory_bytes / 1e6:,.0f} MB of this machine's"
            f" memory and {taken.disk_bytes / 1e6:,.0f} MB of disk, by {taken.probed:,} steps tried in"
            f" {duration_text(taken.probe_seconds)}."
            + (" It tries compiling first, which may shorten it." if told.tried_compiled else ""),
        ]
    print("\n".join(lines), file=sys.stderr)
