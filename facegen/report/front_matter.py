"""The head of a model card: what the hub reads of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from facegen.report.evaluations import DISTRIBUTION, Shown
from facegen.report.facts import RunFacts
from facegen.report.licences import licence_link, slug
from facegen.report.scores import score_name
from facegen.report.words import interval, percent_interval, sure

TAGS = {"generator": "diffusion", "autoencoder": "autoencoder", "classifier": "image-classification"}
PIPELINES = {"generator": "unconditional-image-generation", "classifier": "image-classification"}


def front_matter(facts: RunFacts, shown: Shown, name: str) -> dict[str, Any]:
    """Terms, task, tags, data and scores of the model `name`.

    The data's terms reach the weights: where they are known the licence is "other", never a guess.
    """
    known = facts.data.licence
    front: dict[str, Any] = {"license": "other" if known else "unknown"}
    if known:
        front["license_name"] = f"training-data-{slug(facts.data.name or 'licence')}"
        front |= licence_link(known)
    front["library_name"] = "facegen"
    if facts.kind in PIPELINES:
        asked = facts.kind == "generator" and facts.asking.free_text
        front["pipeline_tag"] = "text-to-image" if asked else PIPELINES[facts.kind]
    tags = ["facegen", "faces", TAGS[facts.kind]]
    front["tags"] = tags + ([facts.recipe.preset] if facts.recipe.preset else [])
    if facts.data.name:
        front["datasets"] = [facts.data.name]
    if results := list(_results(facts, shown)):
        front["model-index"] = [{"name": name, "results": results}]
    return front


def _results(facts: RunFacts, shown: Shown) -> Iterator[dict[str, Any]]:
    """The scores as the hub's own fields, which have no place for an interval: their names tell it."""
    told = {kind: one.evaluation.data for kind, one in shown.told.items()}
    if data := told.get(DISTRIBUTION):
        metrics = [
            _metric(key, f"{score_name(key, row)} ({data['features']})", row["value"], _of_its_estimate(row))
            for key, row in data["scores"].items()
        ]
        yield _result(facts, metrics, str(data["reference"]), data["split"])
    if (data := told.get("attributes")) and data["request"] is None:
        row = data["generated"]["all"]
        named = "Attributes that came true, as a classifier sees it"
        yield _result(facts, [_metric("accuracy", named, row["share"], sure(percent_interval(row)))])
    if data := told.get("memorization"):
        named = "Faces nearer to a training image than unseen people are"
        yield _result(facts, [_metric("memorization", named, data["share"], sure(percent_interval(data)))])


def _of_its_estimate(row: dict[str, Any]) -> str:
    """The interval is that of the estimate without the bias of few images, which may not hold the value."""
    return f"without the bias of few images {sure(interval(row))}"


def _metric(key: str, name: str, value: float, interval: str) -> dict[str, Any]:
    return {"type": key, "name": f"{name}, {interval}", "value": value}


def _result(
    facts: RunFacts, metrics: list[dict[str, Any]], data: str = "faces", split: str | None = None
) -> dict[str, Any]:
    name = facts.data.name or data
    dataset = {"name": name, "type": slug(name), **({"split": split} if split else {})}
    return {"task": {"type": "unconditional-image-generation"}, "dataset": dataset, "metrics": metrics}
