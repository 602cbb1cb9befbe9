"""Which evaluations the page shows, which are missing, and the command lines that add them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facegen.report import answers as answers
from facegen.report import scores as scores
from facegen.report.facts import Evaluation, RunFacts
from facegen.report.html import Block, Commands, Fold, Section, Table
from facegen.report.words import number, quoted
from facegen.vocabulary.words import readable

DISTRIBUTION = "distribution"  # fid, kid, all, ...: whatever has scores and a fingerprint
BUILDERS: dict[str, Callable[[Evaluation], list[Block]]] = {
    DISTRIBUTION: scores.distribution,
    "sweep": scores.sweep,
    "attributes": answers.attributes,
    "control": answers.control,
    "clip-score": scores.clip_score,
    "memorization": scores.memorization,
    "subgroups": answers.subgroups,
    "reconstruction": scores.reconstruction,
}
TITLES = {
    DISTRIBUTION: "How close to real faces?",
    "sweep": "The same at other settings",
    "attributes": "Does it do as asked?",
    "control": "One wish at a time",
    "clip-score": "Do the faces fit the words?",
    "memorization": "Does it copy its training images?",
    "subgroups": "Is it good for everyone?",
    "reconstruction": "What does it lose?",
}
BROKEN = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)  # what a report of another shape raises
MAX_CELLS = 40


UNKNOWN = {  # what a missing report leaves unknown, within a sentence
    DISTRIBUTION: "how close its faces are to real ones",
    "sweep": "what guidance buys and costs",
    "attributes": "whether it does as asked",
    "control": "what else changes with one wish",
    "clip-score": "whether faces fit the words",
    "memorization": "whether it copies training images",
    "subgroups": "whether it is as good for every group",
    "reconstruction": "what it loses of unseen images",
}


@dataclass(frozen=True)
class Missing:
    """A question without an answer, what it leaves unknown, and the command line that answers it."""

    question: str
    unknown: str
    command: str


@dataclass(frozen=True)
class Shown:
    """What the page shows: sections, the newest legible report of each kind, and why others are not shown."""

    sections: list[Section]
    newest: dict[str, Evaluation]
    left_out: dict[str, str]


def show_evaluations(facts: RunFacts) -> Shown:
    """The newest report of each kind in full (of attributes, one for each request), older ones named only."""
    left_out = dict(facts.unreadable)
    built: dict[str, list[tuple[Evaluation, list[Block]]]] = {}
    seen: set[tuple[str, str]] = set()
    for evaluation in facts.evaluations:
        kind = kind_of(evaluation)
        key = (kind, _variant(kind, evaluation))
        if key in seen:
            continue
        try:
            blocks = BUILDERS.get(kind, _plain)(evaluation)
        except BROKEN as error:
            left_out[evaluation.path.name] = (
                f"its form is not that of this facegen ({type(error).__name__}: {error}); evaluate anew"
            )
            continue
        seen.add(key)
        built.setdefault(kind, []).append((evaluation, [*_staleness(facts, evaluation), *blocks]))
    order = [kind for kind in BUILDERS if kind in built] + [kind for kind in built if kind not in BUILDERS]
    sections = [_section(kind, built[kind]) for kind in order]
    return Shown(sections, {kind: _main(parts)[0] for kind, parts in built.items()}, left_out)


def kind_of(evaluation: Evaluation) -> str:
    """The metric's name, "distribution" for all reports of such scores."""
    data = evaluation.data
    if evaluation.metric in BUILDERS:
        return evaluation.metric
    old = {"score", "features", "floor"} <= data.keys()  # of a facegen that knew one score a report
    return DISTRIBUTION if old or {"scores", "fingerprint"} <= data.keys() else evaluation.metric


def _variant(kind: str, evaluation: Evaluation) -> str:
    """What makes a second report of the same kind worth showing, too."""
    data = evaluation.data
    asked = {DISTRIBUTION: ("features", "metric"), "attributes": ("request",), "sweep": ("setting",)}
    return " ".join(str(data.get(key)) for key in asked.get(kind, ()))


def _main(parts: list[tuple[Evaluation, list[Block]]]) -> tuple[Evaluation, list[Block]]:
    """The one that says most: of scores the most at once, of attributes that over everybody's labels."""
    return max(
        parts, key=lambda part: (part[0].data.get("request") is None, len(part[0].data.get("scores") or ()))
    )


def _section(kind: str, parts: list[tuple[Evaluation, list[Block]]]) -> Section:
    main = _main(parts)
    others = [
        Fold(_fold_title(kind, evaluation), blocks)
        for evaluation, blocks in parts
        if evaluation is not main[0]
    ]
    return Section(TITLES.get(kind, readable(kind)), [*main[1], *others])


def _fold_title(kind: str, evaluation: Evaluation) -> str:
    data = evaluation.data
    if kind == "attributes":
        return (
            "Asked for the labels of held-out people"
            if data["request"] is None
            else f"Asked for “{data['request']}”"
        )
    if kind == DISTRIBUTION:
        return f"{evaluation.metric}, in {data['features']} features"
    return f"{readable(kind)}: {_variant(kind, evaluation)}"


def _staleness(facts: RunFacts, evaluation: Evaluation) -> list[Block]:
    now = None if facts.checkpoint is None else facts.checkpoint.step
    if evaluation.step is None or now is None or evaluation.step == now:
        return []
    return [
        f"Judged was the checkpoint of step {evaluation.step:,}; by now the run draws with that of step "
        f"{now:,}. Evaluate again for its score."
    ]


def _plain(evaluation: Evaluation) -> list[Block]:
    """A report of a metric of one's own: its numbers, beside those of real faces."""
    data = evaluation.data
    generated, real = data.get("generated"), data.get("real")
    if not isinstance(generated, dict):
        generated, real = {key: value for key, value in data.items() if key != "settings"}, None
    names = [name for name, value in generated.items() if isinstance(value, int | float | str)][:MAX_CELLS]
    rows = [
        (readable(name), generated[name], real.get(name) if isinstance(real, dict) else None)
        for name in names
    ]
    return [
        Table(("what", "drawn faces", "real faces"), rows),
        scores.honesty(evaluation, {"drawn faces": data.get("num_samples")}),
    ]


def all_evaluations(facts: RunFacts, shown: Shown) -> list[Section]:
    """A folded list of every report, and of those that could not be read with the reason."""
    rows = [
        (
            one.path.name,
            one.metric,
            one.data.get("num_samples"),
            None if one.step is None else number(one.step),
        )
        for one in facts.evaluations
    ]
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(("report", "what", "images", "checkpoint"), rows))
    if shown.left_out:
        blocks.append(Table(("not shown", "why"), list(shown.left_out.items())))
    return [Section("Every evaluation in this folder", blocks, collapsed=True)] if blocks else []


def missing_evaluations(facts: RunFacts, shown: Shown) -> list[Missing]:
    """The questions that no report answers yet, in the order in which people ask them."""
    run, found = quoted(facts.run), shown.newest
    dataset = quoted(facts.data.dataset) if facts.data.dataset else "DATASET"
    judge = _judge(facts)
    if facts.kind == "classifier":
        return []
    if facts.kind == "autoencoder":
        asked = {"reconstruction": f"facegen eval reconstruction {run} {dataset}"}
    else:
        labels = facts.checkpoint is not None and bool(facts.checkpoint.labels.attributes)
        follows = facts.conditioner not in (None, "none")
        asked = {DISTRIBUTION: f"facegen eval all {run} --reference {dataset}"}
        if labels and follows:
            asked["attributes"] = f"facegen eval attributes {run} --classifier {judge}"
        if facts.conditioner == "attributes":
            asked["control"] = f"facegen eval control {run} --classifier {judge}"
        if facts.conditioner == "text":
            asked["clip-score"] = f"facegen eval clip-score {run} --clip CLIP"
        asked["memorization"] = f"facegen eval memorization {run} --train {dataset}"
        if labels:
            asked["subgroups"] = f"facegen eval subgroups {run} --classifier {judge} --reference {dataset}"
        if follows:
            asked["sweep"] = f"facegen eval fid {run} --reference {dataset} --sweep guidance=1,1.5,2,3"
    fixed = (
        "attributes" in found and found["attributes"].data["request"] is not None
    )  # tells of one wish only
    answered = found.keys() - ({"attributes"} if fixed else set())
    return [
        Missing(TITLES[kind], UNKNOWN[kind], command)
        for kind, command in asked.items()
        if kind not in answered
    ]


def _judge(facts: RunFacts) -> str:
    """The classifier that judged before."""
    named = (one.data.get("classifier") for one in facts.evaluations)
    return next((quoted(name) for name in named if isinstance(name, str)), "CLASSIFIER")


def missing_section(facts: RunFacts, missing: list[Missing]) -> list[Section]:
    """The open questions with their commands, ready to copy."""
    if not missing:
        return []
    lines = [line for one in missing for line in (f"# {one.question}", one.command)]
    told = "Each of these commands adds its part to this page; then make the page anew:"
    words = {
        word: text
        for word, text in _PLACEHOLDERS.items()
        if any(word in one.command.split() for one in missing)
    }
    blocks: list[Block] = [told, Commands([*lines, "# The page", f"facegen report {quoted(facts.run)}"])]
    if words:
        blocks.append(" ".join(words.values()))
    return [Section("What is not known yet", blocks)]


_PLACEHOLDERS = {
    "DATASET": "DATASET is the folder that 'facegen prepare' wrote and the run was trained on.",
    "CLASSIFIER": "CLASSIFIER is a run made by 'facegen train --preset attribute-classifier --data DATASET "
    "--run CLASSIFIER'.",
    "CLIP": "CLIP is a folder or a hub name, such as openai/clip-vit-base-patch32.",
}
