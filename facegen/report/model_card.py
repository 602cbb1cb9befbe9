"""`RUN/README.md`: the run as a model card in the Hugging Face hub's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

import facegen
from facegen.errors import StorageError
from facegen.formats.far import written_beside
from facegen.formats.files import atomic_write
from facegen.report.blocks import Block, Facts
from facegen.report.evaluations import DISTRIBUTION, Shown
from facegen.report.facts import RunFacts
from facegen.report.html import templates
from facegen.report.scores import score_name
from facegen.report.summary import is_it_better, score_sentences, train_again, use, what_it_is
from facegen.report.training import attribute_scores

CARD = "README.md"
MARK = "<!-- facegen report wrote this file and overwrites it; take this line out to keep your own words. -->"
TAGS = {"generator": "diffusion", "autoencoder": "autoencoder", "classifier": "image-classification"}
PIPELINES = {"generator": "unconditional-image-generation", "classifier": "image-classification"}


def write_model_card(facts: RunFacts, shown: Shown) -> Path | None:
    """Write `RUN/README.md` and return its path; None where somebody else's README.md stands, which stays.

    Raises:
        StorageError: the folder cannot be written to, or the README.md there cannot be read.
    """
    path = written_beside(facts.run) / CARD
    try:
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            return None
    except OSError as error:
        raise StorageError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    atomic_write(path, model_card(facts, shown))
    return path


def model_card(facts: RunFacts, shown: Shown) -> str:
    """The card's text: YAML front matter, then Markdown. Words stay words: the template takes no markup."""
    environment = templates(finalize=lambda value: value if isinstance(value, Markup) else _words(value))
    environment.filters["fenced"] = _fenced
    front = yaml.safe_dump(_front_matter(facts, shown), sort_keys=False, allow_unicode=True)
    return environment.get_template("model_card.md").render(
        front=Markup(front),
        mark=Markup(MARK),
        version=facegen.__version__,
        facts=facts,
        shown=shown,
        name=facts.run.resolve().name,
        what_it_is=what_it_is(facts),
        is_it_better=is_it_better(facts),
        sentences=score_sentences(shown),
        closeness=_told(shown, DISTRIBUTION),
        bias=attribute_scores(facts) if facts.kind == "classifier" else _told(shown, "subgroups"),
        training=_training(facts),
        train_again=train_again(facts),
        use=use(facts),
        in_python=_in_python(facts),
    )


def _told(shown: Shown, kind: str) -> Sequence[Block]:
    return shown.told[kind].blocks if kind in shown.told else ()


def _front_matter(facts: RunFacts, shown: Shown) -> dict[str, Any]:
    """The data's terms reach the weights: where they are known the licence is "other", never a guess."""
    known = facts.data.licence
    front: dict[str, Any] = {"license": "other" if known else "unknown"}
    if known:
        front["license_name"] = f"training-data-{_slug(facts.data.name or 'licence')}"
    front["library_name"] = "facegen"
    if facts.kind in PIPELINES:
        asked = facts.kind == "generator" and facts.asking.free_text
        front["pipeline_tag"] = "text-to-image" if asked else PIPELINES[facts.kind]
    tags = ["facegen", "faces", TAGS[facts.kind]]
    front["tags"] = tags + ([facts.recipe.preset] if facts.recipe.preset else [])
    if facts.data.name:
        front["datasets"] = [facts.data.name]
    if DISTRIBUTION in shown.told:
        results = _results(facts, shown.told[DISTRIBUTION].evaluation.data)
        front["model-index"] = [{"name": facts.run.resolve().name, "results": [results]}]
    return front


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "licence"


def _results(facts: RunFacts, data: dict[str, Any]) -> dict[str, Any]:
    """The scores as the hub's own fields."""
    name = facts.data.name or str(data["reference"])
    metrics = [
        {"type": key, "name": f"{score_name(key, row)} ({data['features']})", "value": row["value"]}
        for key, row in data["scores"].items()
    ]
    return {
        "task": {"type": "unconditional-image-generation"},
        "dataset": {"name": name, "type": _slug(name), "split": data["split"]},
        "metrics": metrics,
    }


def _training(facts: RunFacts) -> Facts:
    recipe, checkpoint = facts.recipe, facts.checkpoint
    sections = {name: getattr(recipe, name) for name in ("autoencoder", "denoiser", "conditioner")}
    values = {
        "task": recipe.task.get("kind"),
        "preset": recipe.preset,
        **{name: section and section.get("kind") for name, section in sections.items()},
        "steps": checkpoint and checkpoint.step,
        "images seen": checkpoint and checkpoint.images_seen,
        "parameters": facts.num_parameters,
        "batch": recipe.training.batch_size,
        "optimizer": f"{recipe.optimizer.kind}, learning rate {recipe.optimizer.lr:g}",
        "seed": recipe.training.seed,
    }
    return Facts(values, title="")


def _in_python(facts: RunFacts) -> list[str]:
    """How to draw faces without the command line; empty where that takes more than a label."""
    labels = facts.checkpoint and facts.checkpoint.labels.attributes
    if facts.kind != "generator" or not labels or "like" in facts.asking.options:
        return []
    return [
        "import facegen",
        "",
        f"generator = facegen.load({facts.named!r})",
        f"faces = generator.sample({labels[0]!r}, count=8)  # faces.images: uint8 (8, 3, H, W)",
        'faces.grid().save("faces.png")',
    ]


def _words(value: object) -> Markup:
    """Words that stay words in Markdown: no markup, no table cells, one line."""
    text = escape(" ".join(str(value).split()), quote=False)
    return Markup(re.sub(r"([\\`*\[\]|])", r"\\\1", text))


def _fenced(lines: Sequence[str], language: str = "bash") -> Markup:
    """A block of code whose fence is longer than any run of backticks in it."""
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    return Markup(f"{fence}{language}\n{body}\n{fence}")
