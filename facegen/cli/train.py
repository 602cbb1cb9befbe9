"""`facegen train`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.command import command
from facegen.cli.console import duration_text
from facegen.cli.results import print_facts
from facegen.options import Device, Option

if TYPE_CHECKING:
    from facegen.config.recipe import Recipe
    from facegen.protocols import Progress
    from facegen.training.train import TrainSummary

RECIPE = "Recipe: preset < config file < --set"


@dataclass(frozen=True)
class RecipeOptions:
    """What the recipe of a run is made of."""

    preset: Annotated[str | None, Option("See 'facegen presets list'.", RECIPE, completes="presets")] = None
    config: Annotated[Path | None, Option("YAML file of recipe keys, laid over the preset.", RECIPE)] = None
    overrides: Annotated[
        tuple[str, ...],
        Option("One recipe key, e.g. optimizer.lr=2e-4; repeatable.", RECIPE, names=("--set",)),
    ] = ()
    data: Annotated[Path | None, Option("Latents (generator) or data set (the others).", RECIPE)] = None
    size: Annotated[
        Literal["full", "smoke"], Option("smoke: a few steps, to try the pipeline out.", RECIPE)
    ] = "full"


def _print(summary: TrainSummary) -> None:
    print_facts(
        {
            "Run": summary.run,
            "Task": summary.task,
            "Steps": summary.steps,
            "Images seen": summary.images_seen,
            "Parameters": summary.parameters,
            "Time": duration_text(summary.seconds),
            "Skipped steps": summary.skipped_steps or None,
            "Validation loss": summary.validation.get("loss"),
            "Verdict": summary.validation.get("verdict"),
            "Best checkpoint": summary.best_checkpoint,
        }
    )


@command(_print)
def train(
    run: Annotated[Path, Option("Folder of the run.")],
    progress: Progress,
    asked: RecipeOptions,
    resume: Annotated[bool, Option("Go on with the run where it stopped.")] = False,
    device: Device = "auto",
    dry_run: Annotated[bool, Option("Print the full recipe as YAML, tell sizes, and stop.")] = False,
) -> TrainSummary | None:
    """Train a generator, an autoencoder or an attribute classifier.

    Which one, and how, is what the preset or config file says. The run folder gets the full recipe, metrics,
    previews and checkpoints; --resume goes on exactly where a stopped run stood.

        facegen train --preset celeba-attributes --data latents/celeba --run run
        facegen train --run run --resume
        facegen train --preset avatars --data latents --run run --set ema.decay=0.99
        facegen train --preset avatars --data latents --run try --size smoke
        facegen train --config my.yaml --run runs/mine --dry-run
    """
    recipe = _composed(run, asked, resume=resume)
    if dry_run:
        _print_dry_run(recipe, progress)
        return None
    from facegen.training.train import train

    return train(recipe, run, resume, progress, device)


def _composed(run: Path, asked: RecipeOptions, *, resume: bool) -> Recipe:
    """The recipe that the options describe; with `--resume` and no preset or config, the run's own.

    Raises:
        UsageError: nothing to start from, unknown keys or values, nothing to resume.
    """
    from facegen.config.composition import compose
    from facegen.errors import UsageError
    from facegen.formats.run import RunDirectory

    config, overrides = asked.config, asked.overrides
    if resume and asked.preset is None and config is None:
        config = run / "recipe.yaml"
        if not config.is_file():
            raise UsageError(
                f"There is nothing to resume in '{run}': it has no recipe.yaml.",
                hint=f"Start the run: facegen train --preset NAME --data FOLDER --run {run}",
            )
        RunDirectory(run).recipe()  # refuses outside code that only the run names
    if asked.data is not None:
        path = json.dumps(str(asked.data))  # JSON strings are YAML strings, whatever the path looks like
        overrides = (*overrides, f"data.path={path}")
    return compose(asked.preset, config, overrides, size=asked.size)


def _print_dry_run(recipe: Recipe, progress: Progress) -> None:
    import yaml

    print(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False), end="")
    if recipe.data.path is None:
        progress.say("Give --data to be told how many steps and how much memory this takes.")
        return
    from facegen.training.train import estimate

    told = estimate(recipe, progress)
    progress.say(
        f"{told.parameters:,} parameters; {told.steps:,} steps over {told.num_examples:,} images"
        f" ({told.epochs:.1f} epochs); about {told.memory_bytes / 1e9:.2f} GB of memory without activations;"
        f" {told.checkpoint_bytes / 1e6:,.0f} MB a checkpoint."
    )
