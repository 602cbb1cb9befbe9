"""Which evaluations a report shows, which are missing, and the command lines that add them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from facegen.config.recipe import FEW_STEP
from facegen.report import answers, editing, scores
from facegen.report.blocks import Block, Commands, Fold, Headline, Section, Table
from facegen.report.facts import RunFacts
from facegen.report.told import Evaluation, Said, Sentence
from facegen.report.words import quoted
from facegen.vocabulary.words import readable

DISTRIBUTION = "distribution"  # fid, kid, all, ...: whatever has scores and a fingerprint
BROKEN = (AttributeError, LookupError, TypeError, ValueError)  # by reports of another shape


@dataclass(frozen=True)
class Kind:
    """A question that evaluations answer, and what a missing answer leaves unknown, within a sentence.

    Two reports of a kind that differ in a `variant` key answer two questions.
    """

    question: str
    unknown: str
    tell: Callable[[Evaluation], Iterable[Said]]
    variant: tuple[str, ...] = ()


KINDS = {
    DISTRIBUTION: Kind(
        "How close to real faces?",
        "how close its faces are to real ones",
        scores.distribution,
        ("features", "metric"),
    ),
    "diversity": Kind(
        "How different are its people?", "how different its people are", scores.diversity, ("features",)
    ),
    "sweep": Kind("The same at other settings", "what guidance buys and costs", scores.sweep, ("setting",)),
    "attributes": Kind("Does it do as asked?", "whether it does as asked", answers.attributes, ("request",)),
    "control": Kind("One wish at a time", "what else changes with one wish", answers.control),
    "edit": Kind("What becomes of a photo?", "what becomes of photos that it edits", editing.edit),
    "clip-score": Kind("Do the faces fit the words?", "whether faces fit the words", scores.clip_score),
    "memorization": Kind(
        "Does it copy its training images?", "whether it copies training images", scores.memorization
    ),
    "subgroups": Kind("Is it good for everyone?", "whether it is as good for every group", answers.subgroups),
    "reconstruction": Kind("What does it lose?", "what it loses of unseen images", scores.reconstruction),
    "loss": Kind("How large is its loss?", "how large its held-out loss is", scores.loss),
    "classifier": Kind("What does the judge get right?", "what the judge gets right", answers.classifier),
}
PLACEHOLDERS = {
    "DATASET": "DATASET is the folder that 'facegen prepare' wrote and the run was trained on.",
    "CLASSIFIER": "CLASSIFIER is a run made by 'facegen train --preset attribute-classifier --data DATASET "
    "--run CLASSIFIER'.",
    "CLIP": "CLIP is a folder or a hub name, such as openai/clip-vit-base-patch32.",
}


def _kind_of(evaluation: Evaluation) -> str:
    """The metric's name, "distribution" for all reports of such scores."""
    data = evaluation.data
    if evaluation.metric in KINDS:
        return evaluation.metric
    old = {"score", "features", "floor"} <= data.keys()  # of a facegen that knew one score a report
    return DISTRIBUTION if old or {"scores", "fingerprint", "floor"} <= data.keys() else evaluation.metric


@dataclass(frozen=True)
class Told:
    """What `evaluation` answers to `question`: blocks, sentences of a summary, numbers on top of a page."""

    evaluation: Evaluation
    question: str
    blocks: list[Block]
    sentences: list[str]
    headlines: list[Headline]


def tell(evaluation: Evaluation) -> Told:
    """What is said of the evaluation.

    Raises:
        AttributeError, IndexError, KeyError, TypeError, ValueError: its form is not that of this facegen.
    """
    kind = _kind_named(_kind_of(evaluation))
    said = list(kind.tell(evaluation))
    return Told(
        evaluation,
        kind.question,
        [one for one in said if not isinstance(one, Sentence | Headline)],
        [one.text for one in said if isinstance(one, Sentence)],
        [one for one in said if isinstance(one, Headline)],
    )


def _kind_named(name: str) -> Kind:
    """One of `KINDS`; of any other metric, such as one's own, the numbers are told."""
    return KINDS.get(name) or Kind(name, "", _numbers)


def _numbers(evaluation: Evaluation) -> Iterator[Said]:
    """A report of a metric of one's own: its numbers, beside those of real faces."""
    data = evaluation.data
    generated, real = data.get("generated"), data.get("real")
    if not isinstance(generated, dict):
        generated, real = {key: value for key, value in data.items() if key != "settings"}, None
    real = real if isinstance(real, dict) else {}
    generated, real = _flat(generated), _flat(real)
    rows = [(readable(name), value, real.get(name)) for name, value in generated.items()]
    columns = ("what", "drawn faces", "real faces")
    yield Table(columns, rows) if real else Table(columns[:2], [row[:2] for row in rows])
    yield from data.get("remarks", ())
    yield evaluation.honesty()


def _flat(values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Nested results by their dotted names; lists are left to the report."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{within}{name}.")
        elif not isinstance(value, list):
            flat[within + name] = value
    return flat


@dataclass(frozen=True)
class Shown:
    """What of a run's evaluations is shown: by kind that which says most, and in `sections` all of them.

    `left_out` says of unreadable reports why; `missing` has the command line that answers an open question.
    """

    told: dict[str, Told]
    sections: list[Section]
    left_out: dict[str, str]
    missing: dict[str, str]


def show_evaluations(facts: RunFacts) -> Shown:
    """The newest report of each kind in full (of attributes, one for each request), older ones named only."""
    left_out = dict(facts.unreadable)
    found: dict[str, dict[tuple[str, ...], Told]] = {}
    for evaluation in facts.evaluations:
        kind = _kind_of(evaluation)
        variant = tuple(str(evaluation.data.get(key)) for key in _kind_named(kind).variant)
        if variant in found.get(kind, {}):
            continue
        try:
            found.setdefault(kind, {})[variant] = tell(evaluation)
        except BROKEN as error:
            left_out[str(evaluation.name)] = (
                f"its form is not that of this facegen ({type(error).__name__}: {error}); evaluate anew"
            )
    found = {kind: found[kind] for kind in [*KINDS, *found] if found.get(kind)}
    most = {kind: max(reports.values(), key=_says) for kind, reports in found.items()}
    sections = []
    for kind, main in most.items():
        others = (told for told in found[kind].values() if told is not main)
        folds = [Fold(_fold_title(kind, told.evaluation), _full(facts, told)) for told in others]
        sections.append(Section(main.question, [*_full(facts, main), *folds]))
    return Shown(most, sections, left_out, _missing(facts, most))


def _says(told: Told) -> tuple[bool, int]:
    """How much: of scores the most at once, of attributes that over everybody's labels."""
    data = told.evaluation.data
    return data.get("request") is None, len(data.get("scores") or ())


def _full(facts: RunFacts, told: Told) -> list[Block]:
    """All blocks, after a word on the checkpoint where the run has a newer one."""
    judged, now = told.evaluation.step, None if facts.checkpoint is None else facts.checkpoint.step
    if judged is None or now is None or judged == now:
        return told.blocks
    stale = (
        f"Judged was the checkpoint of step {judged:,}; by now the run draws with that of step {now:,}. "
        "Evaluate again for its score."
    )
    return [stale, *told.blocks]


def _fold_title(kind: str, evaluation: Evaluation) -> str:
    data = evaluation.data
    if kind == "attributes":
        asked = "the labels of held-out people" if data["request"] is None else f"“{data['request']}”"
        return f"Asked for {asked}"
    if kind in (DISTRIBUTION, "diversity"):
        return f"{evaluation.metric}, in {data['features']} features"
    return f"{readable(kind)}: {data.get('setting')}"


def _missing(facts: RunFacts, found: dict[str, Told]) -> dict[str, str]:
    """Command lines for the questions that no report answers yet, in the order in which people ask them."""
    if facts.kind == "classifier":
        return {}
    run = quoted(facts.named)
    dataset = quoted(facts.data.dataset) if facts.data.dataset else "DATASET"
    judges = (one.data.get("classifier") for one in facts.evaluations)
    judge = next((quoted(name) for name in judges if isinstance(name, str)), "CLASSIFIER")
    if facts.kind == "autoencoder":
        asked = {"reconstruction": f"reconstruction {run} {dataset}"}
    else:
        labels = facts.checkpoint is not None and bool(facts.checkpoint.labels.attributes)
        follows = bool(facts.asking.options)
        asked = {DISTRIBUTION: f"all {run} --reference {dataset}"}
        if labels and follows:
            asked["attributes"] = f"attributes {run} --classifier {judge}"
        if "attributes" in facts.asking.options:
            asked["control"] = f"control {run} --classifier {judge}"
            asked["edit"] = f"edit {run} --classifier {judge} --data {dataset}"
        if facts.asking.free_text:
            asked["clip-score"] = f"clip-score {run} --clip CLIP"
        asked["memorization"] = f"memorization {run} --train {dataset}"
        if labels:
            asked["subgroups"] = f"subgroups {run} --classifier {judge} --reference {dataset}"
        if follows and facts.recipe.task["kind"] != FEW_STEP:  # it takes no guidance
            asked["sweep"] = f"fid {run} --reference {dataset} --sweep guidance=1,1.5,2,3"
    answered = {*found}
    if "attributes" in found and found["attributes"].evaluation.data["request"] is not None:
        answered.remove("attributes")  # one fixed request tells of one wish only
    return {kind: f"facegen eval {line}" for kind, line in asked.items() if kind not in answered}


def missing_section(facts: RunFacts, shown: Shown) -> list[Section]:
    """The open questions with their commands, ready to copy."""
    if not shown.missing:
        return []
    lines = [part for kind, line in shown.missing.items() for part in (f"# {KINDS[kind].question}", line)]
    words = {word for line in shown.missing.values() for word in line.split()}
    explained = " ".join(text for word, text in PLACEHOLDERS.items() if word in words)
    blocks: list[Block] = [
        "Each of these commands adds its part to this page; then make the page anew:",
        Commands([*lines, "# The page", f"facegen report {quoted(facts.named)}"]),
        *([explained] if explained else []),
    ]
    return [Section("What is not known yet", blocks)]


def all_evaluations(facts: RunFacts, shown: Shown) -> list[Section]:
    """A folded list of every report, and of those that could not be read with the reason."""
    rows = [(one.name, one.metric, one.data.get("num_samples"), one.step) for one in facts.evaluations]
    tables = (
        Table(("report", "what", "images", "checkpoint"), rows),
        Table(("not shown", "why"), list(shown.left_out.items())),
    )
    blocks = [table for table in tables if table.rows]
    return [Section("Every evaluation in this folder", blocks, collapsed=True)] if blocks else []
