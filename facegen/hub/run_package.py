"""A run as it goes to the hub: what sampling, judging and plotting it elsewhere takes, and its card.

    README.md                                   the model card
    recipe.yaml history.jsonl metrics.jsonl     how it was trained
    environment.json                            versions; name, terms and counts of the data
    checkpoints/step-N/                         one kind of weights of one checkpoint, and `checkpoint.json`
    evaluations/*.json, samples/*.png, report.html     scores, and pictures that the data's terms let be shown

Where things are on this machine stands in none of them, nor do locks, logs of trackers, optimizer states.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from facegen.formats.checkpoint import Checkpoint, info_text, load_checkpoint
from facegen.formats.checkpoint_head import CHECKPOINTS, INFO_FILE
from facegen.formats.far import fetched, written_beside
from facegen.formats.history import HISTORY_FILE, RunEvent
from facegen.formats.plain import plain
from facegen.formats.run import ENVIRONMENT_FILE, METRICS_FILE, RECIPE_FILE, RunDirectory, shared_words
from facegen.hub.options import PushOptions
from facegen.hub.package import CARD, Content, Package, without_places
from facegen.report.blocks import Block, Columns, Figure, Fold
from facegen.report.evaluations import Shown, show_evaluations
from facegen.report.facts import EVALUATIONS, RunFacts, read_run
from facegen.report.html import render_page
from facegen.report.licences import may_be_shown
from facegen.report.model_card import MARK, model_card, shown_picture
from facegen.report.report import PAGE, report_page
from facegen.report.told import Evaluation

ABOUT_THIS_MACHINE = ("host", "id", "platform")  # of environment.json
PRIVATE_KEYS = ("data.path", "task.teacher", "scoring.")  # of a recipe; see `Recipe.shared`
OF_DATA = ("memorization", "reconstruction", "edit")  # evaluations whose pictures show images of the data
PICTURES = ("picture", "grid")  # keys of reports
WITHHELD = "the data's terms are not known to let their images be shown"


def run_package(path: Path, repository: str, options: PushOptions) -> Package:
    """The package of a run, or of one of its checkpoints.

    Raises:
        UsageError: no run, or it has no weights of that kind.
        MissingModelError, StorageError: it has no checkpoint, or a file is missing or altered.
    """
    checkpoint = load_checkpoint(path)
    run = RunDirectory(checkpoint.folder.parent.parent)
    recipe = run.recipe().shared()
    kept = _with_recipe(checkpoint.for_use(options.weights), recipe)
    facts, left_out = _told_facts(run, kept, repository, options)
    shown = show_evaluations(facts)
    page = replace(report_page(facts, shown), title=facts.named)
    picture = shown_picture(facts, shown)
    files: dict[str, Content] = {
        CARD: _card(run, facts, shown, picture, repository),
        RECIPE_FILE: yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).encode(),
        ENVIRONMENT_FILE: _json(facts.environment),
        **_checkpoint_files(kept),
        **{f"{EVALUATIONS}/{one.name}": _json(one.data) for one in facts.evaluations},
        PAGE: render_page(page).encode(),
    }
    if run.metrics_file.is_file():
        files[METRICS_FILE] = run.metrics_file
    if events := _shared_events(run.history()):
        files[HISTORY_FILE] = "".join(json.dumps(plain(event)) + "\n" for event in events).encode()
    figures = [one.path for section in page.sections for one in _figures(section.blocks)]
    for place in dict.fromkeys((run.path, written_beside(run.path))):
        inside = [one for one in (*figures, picture) if one is not None and place in one.parents]
        files |= {one.relative_to(place).as_posix(): fetched(one) for one in inside if one.is_file()}
    return Package("model", dict(sorted(files.items())), left_out)


def _with_recipe(checkpoint: Checkpoint, recipe: dict[str, Any]) -> Checkpoint:
    """With the places in the recipe it was saved with as the shared one has them."""
    told = checkpoint.info.recipe
    data = {**(told.get("data") or {}), "path": None}
    cleaned = {**told, "data": data, **{key: recipe[key] for key in ("scoring",) if key in told}}
    if (told.get("task") or {}).get("teacher"):
        cleaned["task"] = {**told["task"], "teacher": None}
    return replace(checkpoint, info=replace(checkpoint.info, recipe=cleaned))


def _checkpoint_files(checkpoint: Checkpoint) -> dict[str, Content]:
    place = f"{CHECKPOINTS}/{checkpoint.folder.name}"
    files: dict[str, Content] = {
        f"{place}/{name}": checkpoint.folder / name for name in checkpoint.info.files
    }
    return {**files, f"{place}/{INFO_FILE}": info_text(checkpoint.info).encode()}


def _told_facts(
    run: RunDirectory, checkpoint: Checkpoint, repository: str, options: PushOptions
) -> tuple[RunFacts, dict[str, str]]:
    """The run's facts as they may be told anywhere, and what is not told."""
    facts = read_run(run.path)
    data = replace(facts.data, path=None, dataset=None, licence=facts.data.licence or options.licence)
    environment = {key: value for key, value in facts.environment.items() if key not in ABOUT_THIS_MACHINE}
    if command := environment.get("command"):
        environment["command"] = shared_words(command)
    environment["data"] = {"name": data.name, "licence": data.licence, "counts": data.counts}
    evaluations = tuple(replace(one, data=without_places(one.data)) for one in facts.evaluations)
    previews, left_out = facts.previews[-1:], dict[str, str]()
    if not may_be_shown(data.licence):
        left_out = {f"picture of {one.name}": WITHHELD for one in evaluations if one.metric in OF_DATA}
        evaluations = tuple(map(_without_pictures, evaluations))
        if facts.kind == "autoencoder" and previews:
            previews, left_out["previews"] = (), WITHHELD
    return replace(
        facts,
        named=repository.rpartition("/")[2],
        environment=environment,
        checkpoint=checkpoint.info,
        evaluations=evaluations,
        data=data,
        previews=previews,
    ), left_out


def _without_pictures(evaluation: Evaluation) -> Evaluation:
    if evaluation.metric not in OF_DATA:
        return evaluation

    def cleared(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: None if key in PICTURES else cleared(one) for key, one in value.items()}

    return replace(evaluation, data=cleared(evaluation.data))


def _shared_events(events: Sequence[RunEvent]) -> list[RunEvent]:
    """What was done to the run, without changes of where things are."""
    return [
        replace(
            event,
            command=shared_words(event.command),
            changes={key: both for key, both in event.changes.items() if not key.startswith(PRIVATE_KEYS)},
            started_from=without_places(event.started_from),
        )
        for event in events
    ]


def _card(run: RunDirectory, facts: RunFacts, shown: Shown, picture: Path | None, repository: str) -> Content:
    """The card; where somebody wrote one, that."""
    own = run.path / CARD
    if own.is_file() and MARK not in own.read_text(encoding="utf-8", errors="replace"):
        return own
    return model_card(facts, shown, picture=picture, repository=repository).encode()


def _figures(blocks: Sequence[Block]) -> Iterator[Figure]:
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Fold | Columns):
            yield from _figures(block.blocks)


def _json(data: Any) -> bytes:
    return (json.dumps(plain(data), indent=2, ensure_ascii=False) + "\n").encode()
