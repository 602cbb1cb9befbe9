"""`RUN/README.md`: the run as a model card in the Hugging Face hub's format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

import facegen
from facegen.errors import StorageError
from facegen.formats.files import atomic_write
from facegen.report.answers import group_name, subgroup_verdict
from facegen.report.evaluations import DISTRIBUTION, Missing, Shown
from facegen.report.facts import RunFacts
from facegen.report.scores import SCORE_NAMES
from facegen.report.summary import is_it_better, score_sentences, what_it_is
from facegen.report.words import interval, number, percent, percent_interval, quoted
from facegen.vocabulary.words import readable

CARD = "README.md"
MARK = "<!-- facegen report wrote this file and overwrites it; take this line out to keep your own words. -->"
UNKNOWN_LICENCE = "unknown: look it up"
TAGS = {"generator": "diffusion", "autoencoder": "autoencoder", "classifier": "image-classification"}
PIPELINES = {"generator": "unconditional-image-generation", "classifier": "image-classification"}
MISUSE = (
    "Not for pretending that a picture shows a real person or event, for imitating or identifying anybody, "
    "or for decisions about people."
)
USES = {
    "generator": "Research on and teaching of face generation: pictures of people who do not exist.",
    "autoencoder": "Encoding face images into latents, and decoding them, to train and run generators.",
    "classifier": "Judging generated faces and labelling face data sets for research. What it calls an "
    "attribute is what the annotators of its training data called so.",
}


def write_model_card(facts: RunFacts, shown: Shown, missing: Sequence[Missing]) -> Path | None:
    """Write `RUN/README.md` and return its path; None where somebody else's README.md stands, which stays.

    Raises:
        StorageError: the folder cannot be written to, or the README.md there cannot be read.
    """
    path = facts.run / CARD
    try:
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            return None
    except OSError as error:
        raise StorageError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    atomic_write(path, model_card(facts, shown, missing))
    return path


def model_card(facts: RunFacts, shown: Shown, missing: Sequence[Missing]) -> str:
    """The card's text: YAML front matter, then Markdown."""
    front = yaml.safe_dump(_front_matter(facts, shown), sort_keys=False, allow_unicode=True)
    commands = [one.command for one in missing]
    parts = [
        f"---\n{front}---\n{MARK}",
        f"# {_text(facts.run.resolve().name)}",
        _text(what_it_is(facts)),
        "## Data and their licence",
        _data(facts),
        "## Intended use",
        f"{USES[facts.kind]} {MISUSE}",
        "## Limits",
        _limits(facts),
        "## Measured scores",
        _text(is_it_better(facts)),
        *_scores(shown),
        "## Measured bias, by group",
        *_bias(facts, shown),
        *(["## Not measured", "These commands would tell:", _code(commands)] if commands else []),
        "## Training",
        _training(facts),
        "## How to use",
        _use(facts),
        f"The whole picture is in `report.html`. Written by facegen {facegen.__version__}.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: RunFacts, shown: Shown) -> dict[str, Any]:
    """The data's terms reach the weights: where they are known the licence is "other", never a guess."""
    known = facts.data.licence
    front: dict[str, Any] = {"license": "other" if known else "unknown"}
    if known:
        front["license_name"] = f"training-data-{_slug(facts.data.name or 'licence')}"
    front["library_name"] = "facegen"
    if facts.kind in PIPELINES:
        asked = facts.kind == "generator" and facts.conditioner == "text"
        front["pipeline_tag"] = "text-to-image" if asked else PIPELINES[facts.kind]
    tags = ["facegen", "faces", TAGS[facts.kind]]
    front["tags"] = tags + ([facts.recipe.preset] if facts.recipe.preset else [])
    if facts.data.name:
        front["datasets"] = [facts.data.name]
    results = _model_index(facts, shown)
    if results:
        front["model-index"] = [{"name": facts.run.resolve().name, "results": results}]
    return front


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "licence"


def _model_index(facts: RunFacts, shown: Shown) -> list[dict[str, Any]]:
    """The scores as the hub's own fields."""
    if DISTRIBUTION not in shown.newest:
        return []
    data = shown.newest[DISTRIBUTION].data
    name = facts.data.name or str(data["reference"])
    metrics = [
        {"type": key, "name": f"{SCORE_NAMES.get(key, key)} ({data['features']})", "value": row["value"]}
        for key, row in data["scores"].items()
    ]
    return [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"name": name, "type": _slug(name), "split": data["split"]},
            "metrics": metrics,
        }
    ]


def _data(facts: RunFacts) -> str:
    data = facts.data
    lines = [f"- Data: {_text(data.name or data.path or 'not recorded')}"]
    if data.counts:
        counted = ", ".join(f"{name} {count:,}" for name, count in data.counts.items())
        lines.append(f"- Images: {_text(counted)}")
    lines.append(f"- Licence: {_text(data.licence or UNKNOWN_LICENCE)}")
    if facts.checkpoint is not None and facts.checkpoint.data_fingerprint:
        lines.append(f"- Fingerprint: `{facts.checkpoint.data_fingerprint}`")
    terms = "What the data's terms forbid, they forbid for this model, too. Real faces are personal data."
    return "\n".join(lines) + f"\n\n{terms}"


def _limits(facts: RunFacts) -> str:
    size = facts.image_size
    limits = [f"Faces are {size}×{size} pixels." if size else "The size of its faces is not recorded."]
    limits.append(
        "It knows what its training data show and no more: who is rare there is drawn, kept or recognised "
        "worse, and labels carry the judgement of those who gave them."
    )
    if facts.kind == "generator":
        limits.append("A face it draws may resemble a real person, also one it was trained on.")
    limits.append("Scores hold for the data, the number of faces and the networks they were measured with.")
    return "\n".join(f"- {limit}" for limit in limits)


def _scores(shown: Shown) -> list[str]:
    told = list(score_sentences(shown))
    parts = (
        ["\n".join(f"- {_text(sentence)}" for sentence in told)] if told else ["No score was measured yet."]
    )
    if DISTRIBUTION in shown.newest:
        data = shown.newest[DISTRIBUTION].data
        rows = [
            (SCORE_NAMES.get(name, readable(name)), number(row["value"]), number(row["estimate"]),
             interval(row), number(row["floor"]), number(row["ceiling"]))
            for name, row in data["scores"].items()
        ]  # fmt: skip
        parts.append(
            _table(("score", "published", "estimate", "95 %", "real faces", "after autoencoder"), rows)
        )
        parts.append(
            _text(
                f"{data['num_samples']:,} drawn against {data['num_reference']:,} real faces of "
                f"{data['reference']} ({data['split']}); features {data['fingerprint'].get('features')}."
            )
        )
    return parts


def _bias(facts: RunFacts, shown: Shown) -> list[str]:
    if facts.kind == "classifier" and isinstance(table := facts.validation.get("attributes"), dict):
        rows = [
            (
                readable(name),
                row.get("num_positive"),
                number(row.get("auc")),
                percent(row.get("balanced_accuracy")),
            )
            for name, row in table.items()
        ]
        return [
            "By attribute, on held-out images:",
            _table(("attribute", "positives", "AUC", "balanced"), rows),
        ]
    if "subgroups" not in shown.newest:
        return ["Not measured. That is no sign that there is none."]
    data = shown.newest["subgroups"].data
    rows = [
        (group_name(row) + (" (few)" if row["small"] else ""), row["num_samples"], _cell(row["kid"], number),
         interval(row["kid"]), _cell(row["accuracy"], percent), percent_interval(row["accuracy"]),
         _cell(row["real_accuracy"], percent))
        for row in data["rows"]
    ]  # fmt: skip
    columns = ("group", "faces", "KID", "95 %", "as asked", "95 %", "real faces as labelled")
    note = f"(few): fewer than {data['small_below']} faces on one side; read nothing into them."
    return [_text(subgroup_verdict(data)), _table(columns, rows), note]


def _cell(value: dict[str, Any] | None, words: Any) -> str | None:
    return None if value is None else words(value["value"])


def _training(facts: RunFacts) -> str:
    recipe = facts.recipe
    rows: list[tuple[str, object]] = [("task", recipe.task.get("kind")), ("preset", recipe.preset)]
    rows += [
        (name, section.get("kind"))
        for name in ("autoencoder", "denoiser", "conditioner")
        if (section := getattr(recipe, name)) is not None
    ]
    if facts.checkpoint is not None:
        rows += [
            ("steps", f"{facts.checkpoint.step:,}"),
            ("images seen", f"{facts.checkpoint.images_seen:,}"),
        ]
    rows += [
        ("parameters", None if facts.num_parameters is None else f"{facts.num_parameters:,}"),
        ("batch", recipe.training.batch_size),
        ("optimizer", f"{recipe.optimizer.kind}, learning rate {recipe.optimizer.lr:g}"),
        ("seed", recipe.training.seed),
    ]
    again = f"facegen train --config {quoted(facts.run / 'recipe.yaml')} --run ANOTHER"
    kept = [row for row in rows if row[1] is not None]
    told = "The whole recipe is `recipe.yaml`; the same again:"
    return "\n\n".join((_table(("what", "value"), kept), told, _code([again])))


def _use(facts: RunFacts) -> str:
    run = quoted(facts.run)
    if facts.kind == "autoencoder":
        return _code([f"facegen encode DATASET --autoencoder {run} --out LATENTS"])
    if facts.kind == "classifier":
        return _code([f"facegen label DATASET --classifier {run}"])
    like = " --like PHOTO" if facts.conditioner in ("image_features", "semantic_encoder") else ""
    shell = _code([f"facegen sample {run}{like} --count 16"])
    labels = None if facts.checkpoint is None else facts.checkpoint.labels
    if like or labels is None or not labels.attributes:
        return shell
    code = [
        "from pathlib import Path",
        "from facegen.models.generator import FaceGenerator",
        "",
        f"generator = FaceGenerator.load(Path({str(facts.run)!r}))",
        f"images = generator.faces({labels.attributes[0]!r}, 8)  # uint8 (8, 3, H, W)",
    ]
    return f"{shell}\n\n{_code(code, 'python')}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    cells = ([_text("–" if cell is None else str(cell)) for cell in row] for row in rows)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def _text(text: str) -> str:
    """Words that stay words in Markdown: no markup, no table cells, one line."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", escape(" ".join(text.split()), quote=False))


def _code(lines: Sequence[str], language: str = "bash") -> str:
    """A block of code whose fence is longer than any run of backticks in it."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"
