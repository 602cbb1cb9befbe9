"""`facegen train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.completion import preset_names
from facegen.cli.options import Device, Json, Quiet, Size, described

if TYPE_CHECKING:
    from facegen.config.recipe import Recipe
    from facegen.protocols import Progress
    from facegen.training.train import TrainSummary

ABOUT = (
    "Train a generator, an autoencoder or an attribute classifier.",
    "Which one, and how, is what the preset or config file says. The run folder gets the full recipe,"
    " metrics, previews and checkpoints; --resume goes on exactly where a stopped run stood.",
)
RECIPE = "Recipe: preset < config file < --set"


def register(app: typer.Typer) -> None:
    app.command(
        "train",
        **described(
            ABOUT,
            "facegen train --preset celeba-attributes --data latents/celeba --run run",
            "facegen train --run run --resume",
            "facegen train --preset avatars --data latents --run run --set ema.decay=0.99",
            "facegen train --preset avatars --data latents --run try --size smoke",
            "facegen train --config my.yaml --run runs/mine --dry-run",
        ),
    )(train)


def train(
    run: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    preset: Annotated[
        str | None,
        typer.Option(help="See 'facegen presets list'.", autocompletion=preset_names, rich_help_panel=RECIPE),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file of recipe keys, laid over the preset.", rich_help_panel=RECIPE),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One recipe key, e.g. optimizer.lr=2e-4; repeatable.", rich_help_panel=RECIPE
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Latents (generator) or data set (the others).", rich_help_panel=RECIPE),
    ] = None,
    size: Annotated[
        Size, typer.Option(help="smoke: a few steps, to try the pipeline out.", rich_help_panel=RECIPE)
    ] = Size.FULL,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run where it stopped.")] = False,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the full recipe as YAML, tell sizes, and stop.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    recipe = compose_recipe(run, preset, config, overrides or [], data, size=size, resume=resume)
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json

    if dry_run:
        _print_dry_run(recipe, make_progress(quiet=quiet))
        return
    from facegen.training.train import train as run_train

    summary = run_train(recipe, run, resume, make_progress(quiet=quiet), device)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def compose_recipe(
    run: Path,
    preset: str | None,
    config: Path | None,
    overrides: list[str],
    data: Path | None,
    *,
    size: Size,
    resume: bool,
) -> Recipe:
    """The recipe that the options describe; with `--resume` and no preset or config, the run's own.

    Raises:
        UsageError: nothing to start from, unknown keys or values, nothing to resume.
    """
    from facegen.config.composition import compose
    from facegen.errors import UsageError

    if resume and preset is None and config is None:
        config = run / "recipe.yaml"
        if not config.is_file():
            raise UsageError(
                f"There is nothing to resume in '{run}': it has no recipe.yaml.",
                hint=f"Start the run: facegen train --preset NAME --data FOLDER --run {run}",
            )
    if data is not None:
        overrides = [*overrides, f"data.path={_yaml_text(data)}"]
    return compose(preset, config, overrides, size=size.value)


def _yaml_text(path: Path) -> str:
    import json

    return json.dumps(str(path))  # JSON strings are YAML strings, whatever the path looks like


def _print_dry_run(recipe: Recipe, progress: Progress) -> None:
    import yaml

    print(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False), end="")
    if recipe.data.path is None:
        progress.say("Give --data to be told how many steps and how much memory this takes.")
        return
    from facegen.training.train import estimate

    told = estimate(recipe)
    progress.say(
        f"{told.parameters:,} parameters; {told.steps:,} steps over {told.num_examples:,} images"
        f" ({told.epochs:.1f} epochs); about {told.memory_bytes / 1e9:.2f} GB of memory without activations;"
        f" {told.checkpoint_bytes / 1e6:,.0f} MB a checkpoint."
    )


def _print_summary(summary: TrainSummary) -> None:
    from facegen.cli.console import duration_text
    from facegen.cli.results import print_facts

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
