"""Evaluations of obedience and fairness as parts of the page: attributes, control matrix, subgroups."""

from __future__ import annotations

from typing import Any

from facegen.report.charts import Interval, interval_chart
from facegen.report.facts import Evaluation
from facegen.report.html import Block, Chart, Fold, Table
from facegen.report.scores import honesty
from facegen.report.words import interval, number, percent, percent_interval, picture
from facegen.vocabulary.words import readable

LEAKS_SHOWN = 3
GRID_MIN_WIDTH = 720
HEAT_MAP_MIN_WIDTH = 1500  # forty columns with readable numbers
OFTEN_ASKED = 10


def attributes(evaluation: Evaluation) -> list[Block]:
    """What came true of what was asked for, beside what the judge gets right of real faces."""
    data, generated = evaluation.data, evaluation.data["generated"]
    parts = (
        ("all", "everything asked for"),
        ("present", "asked to be there"),
        ("absent", "asked to be away"),
        ("whole_request", "whole requests: everything right in one face"),
    )
    beside = {
        title: told
        for title, told in (("real faces", data["real"]), ("after autoencoder", data["reconstructed"]))
        if told is not None
    }
    rows = [
        (name, *_share(generated.get(key)), *(_share(told.get(key))[0] for told in beside.values()))
        for key, name in parts
        if generated.get(key) is not None
    ]
    columns = ("came true", "drawn faces", "95 % interval", *beside)
    request = "the labels of held-out people" if data["request"] is None else f"“{data['request']}”"
    caption = f"Faces were drawn for {request}."
    if "real faces" in beside:
        caption += " Real faces: what the judge sees in the very people asked for."
    return [
        "A classifier looks at every face and says what is there. What it gets wrong on real faces no "
        "generator can get right, so read each number beside what it gets right of those.",
        Table(columns, rows, caption=caption),
        *_by_attribute(data),
        *picture(
            evaluation.kept("grid"),
            "The first requests, in order: what was asked to be there, and what was missed or not wanted.",
            alt="Grid of drawn faces, each with what was asked of it",
            min_width=GRID_MIN_WIDTH,
        ),
        *_kept(data.get("kept")),
        honesty(
            evaluation,
            {
                "drawn faces": data["num_samples"],
                "judge": data["classifier"],
                "right on held-out real faces": percent(data["classifier_accuracy"]),
                "fingerprint of the judge": str(data["classifier_fingerprint"])[:16],
                "labels from": data["data"],
            },
        ),
    ]


def _share(row: dict[str, Any] | None) -> tuple[str | None, str | None]:
    return (None, None) if row is None else (percent(row["share"]), percent_interval(row))


def _by_attribute(data: dict[str, Any]) -> list[Block]:
    table = data["attributes"]
    if len(table) < 2:
        return []
    ordered = sorted(table.items(), key=lambda item: -(item[1]["asked_yes"]["hit_rate"] or 0.0))
    found_in, beside = _found_by_the_judge(data)
    bars = [
        Interval(readable(name), row["asked_yes"]["hit_rate"], reference=found_in.get(name))
        for name, row in ordered
        if row["asked_yes"]["hit_rate"] is not None
    ]
    keys = ("recall", "precision", "accuracy", "recall_on_real", "precision_on_real", "accuracy_on_real")
    rows = [
        (
            readable(name),
            row["asked_yes"]["num_asked"],
            row["asked_no"]["num_asked"],
            *(percent(row.get(key)) for key in keys),
            percent(row["accuracy_on_reconstructions"]),
        )
        for name, row in ordered
    ]
    few = [i for i, (_, row) in enumerate(ordered) if row["asked_yes"]["num_asked"] < OFTEN_ASKED]
    columns = (
        "attribute", "asked for", "asked away", "recall", "precision", "accuracy", "recall, real faces",
        "precision, real", "accuracy, real", "accuracy, after autoencoder",
    )  # fmt: skip
    caption = (
        "Recall: of the faces asked to have it, those that have it. Precision: of the faces that have it, "
        "those asked to. Real: the same of the real faces with those labels, which is the judge’s own error. "
        f"Greyed out: asked for fewer than {OFTEN_ASKED} times."
    )
    blocks: list[Block] = []
    if bars:
        told = "How often an attribute that was asked for is there."
        svg = interval_chart(bars, reference_label=beside, alt=told)
        blocks.append(Chart(svg, told, "By attribute"))
    return [*blocks, Fold("The same as numbers", [Table(columns, rows, caption=caption, dimmed=few)])]


def _found_by_the_judge(data: dict[str, Any]) -> tuple[dict[str, float | None], str]:
    """How often the judge finds each attribute in faces that do have it, and which faces those are.

    The same question as is asked of drawn faces; its accuracy, high for all that is rare, would be another.
    """
    real = {name: row.get("recall_on_real") for name, row in data["attributes"].items()}
    if any(share is not None for share in real.values()):
        return real, "how often the judge finds it in real faces that have it"
    rows = (data["reconstructed"] or {}).get("attributes", {})
    after = {name: row["asked_yes"]["hit_rate"] for name, row in rows.items()}
    beside = "how often the judge finds it in real faces that have it, after the autoencoder"
    return after, beside if after else ""


def _kept(kept: dict[str, dict[str, Any]] | None) -> list[Block]:
    """Models of pictures: which attributes of the picture came back."""
    if not kept:
        return []
    rows = [
        (readable(name), percent(row["agreement"]), percent(row["chance"]), row["num_images"])
        for name, row in sorted(kept.items(), key=lambda item: -item[1]["margin"])
    ]
    columns = ("attribute of the picture", "kept", "by chance", "images")
    return [Table(columns, rows, "What is kept of the picture it was asked with")]


def control(evaluation: Evaluation) -> list[Block]:
    """What one changed wish changes, as the heat map, as rows and as pairs of faces."""
    data = evaluation.data
    columns = ("wish changed", "hit", "95 % interval", "redrawn", "judge’s limit", "leakage", "leaks into")
    caption = (
        "Redrawn: hits of a generator that draws another face each time. Judge’s limit: what the "
        "classifier’s own errors would leave of a perfect generator’s hits. Leakage: of all other answers, "
        "how many changed."
    )
    rows = [_control_row(row, data["classifier_limits"].get(row["attribute"], {})) for row in data["rows"]]
    ineffective = ", ".join(map(readable, data["no_effect_shown"]))
    return [
        "Each face is drawn twice from the same noise, and only one wish differs: does that attribute "
        f"change, and does anything else? {control_verdict(data)}",
        *([f"Asking has no effect shown beyond chance for: {ineffective}."] if ineffective else []),
        *picture(
            evaluation.kept("heat_map"),
            "Rows: the wish that changed. Columns: what the judge saw change.",
            alt="Control matrix as a heat map",
            min_width=HEAT_MAP_MIN_WIDTH,
        ),
        Table(columns, rows, caption=caption),
        *picture(
            evaluation.kept("grid"),
            "Pairs, without and with the wish.",
            alt="Pairs",
            min_width=GRID_MIN_WIDTH,
        ),
        *data["remarks"],
        honesty(
            evaluation,
            {
                "pairs for each wish": data["num_samples"],
                "the rest of each request": data["base"],
                "judge": data["classifier"],
                "fingerprint of the judge": data["classifier_fingerprint"][:16],
                "labels from": data["data"],
            },
        ),
    ]


def control_verdict(data: dict[str, Any]) -> str:
    """Hits and leakage of the whole matrix in a sentence, beside what redrawing and the judge would give."""
    hit, leakage = data["hit"], data["leakage"]
    told = (
        f"Of wishes changed alone, {percent(hit['share'])} came true (95 % interval {percent_interval(hit)}"
    )
    told += f"; faces redrawn at random: {percent(data['hit_chance'])}"
    told += f"; the most this judge would grant: {percent(data['classifier_hit']) or 'unknown'})"
    if leakage is not None:
        share = f"{percent(leakage['share'])} ({percent_interval(leakage)})"
        told += f", and of everything else {share} changed with them"
    return f"{told}."


def _control_row(row: dict[str, Any], limits: dict[str, Any]) -> tuple[str | None, ...]:
    leaks = {name: cell["share"] for name, cell in row["leakage"].items() if cell is not None}
    worst = sorted(leaks, key=lambda name: -leaks[name])[:LEAKS_SHOWN]
    return (
        readable(row["attribute"]),
        percent(row["hit"]["share"]),
        percent_interval(row["hit"]),
        percent(row["chance"]),
        percent(limits.get("hit")),
        percent(row["mean_leakage"]),
        ", ".join(f"{readable(name)} {percent(leaks[name])}" for name in worst),
    )


def subgroups(evaluation: Evaluation) -> list[Block]:
    """Every group's scores; small groups last and greyed out."""
    data = evaluation.data
    everyone, *groups = data["rows"]
    ordered = [everyone, *sorted(groups, key=lambda row: row["small"])]
    shown = list(_SUBGROUP_COLUMNS)
    if any(row.get("apart") for row in ordered):
        shown += _APART
    shown = [column for column in shown if any(column[1](row) is not None for row in ordered)]
    rows = [tuple(value(row) for _, value in shown) for row in ordered]
    columns = tuple(title for title, _ in shown)
    large = sum(not row["small"] for row in ordered)
    small = rows[large:]
    caption = (
        "KID: distance from the real faces of the same group, lower is better. As asked: share of what was "
        "asked for that came true, beside what the judge gets right of real faces where that is known."
    )
    if any(row.get("apart") for row in ordered):
        caption += (
            " Apart: the same group without the images of those that are worse off by themselves, as groups "
            "share images."
        )
    return [
        subgroup_verdict(data),
        Table(columns, rows[:large], caption=caption),
        *([_too_small(columns, small, data["small_below"])] if small else []),
        *data["remarks"],
        honesty(
            evaluation,
            {
                "drawn faces": data["num_samples"],
                "features": data["features_fingerprint"],
                "judge": f"{data['classifier']} ({data['classifier_fingerprint'][:16]})",
                "reference": f"{data['reference']}, split {data['split']}",
                "fingerprint of the reference": data["reference_fingerprint"][:16],
            },
        ),
    ]


def subgroup_verdict(data: dict[str, Any]) -> str:
    """Who is worse off, in a sentence."""
    worse = [readable(name) for name in data["worse_off"]]
    if not worse:
        return "No group is beyond doubt worse off than all others at this number of faces."
    return f"Beyond doubt worse off than all others: {', '.join(worse)}."


def _too_small(columns: tuple[str, ...], rows: list[tuple[Any, ...]], small_below: int) -> Fold:
    told = f"Too small to tell: {len(rows)} with fewer than {small_below} images on one side"
    return Fold(told, [Table(columns, rows, dimmed=range(len(rows)))])


def group_name(row: dict[str, Any]) -> str:
    """ "Male: no", or "everyone"."""
    return readable(f"{row['label']}: {row['value']}" if row["value"] else row["label"])


def _value(cell: dict[str, Any] | None, words: Any) -> str | None:
    return None if cell is None else words(cell["value"])


def _apart(row: dict[str, Any]) -> dict[str, Any]:
    """The row itself where it shares no images with a group that is worse off."""
    return row.get("apart") or row


_SUBGROUP_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("group", lambda row: group_name(row)),
    ("drawn", lambda row: row["num_samples"]),
    ("real", lambda row: row["num_reference"]),
    ("KID", lambda row: _value(row["kid"], number)),
    ("95 % interval", lambda row: interval(row["kid"])),
    ("Fréchet distance", lambda row: _value(row.get("frechet"), number)),
    ("precision", lambda row: _value(row["precision"], percent)),
    ("recall", lambda row: _value(row["recall"], percent)),
    ("as asked", lambda row: _value(row["accuracy"], percent)),
    ("95 % interval", lambda row: percent_interval(row["accuracy"])),
    ("real faces", lambda row: _value(row["real_accuracy"], percent)),
)
_APART: tuple[tuple[str, Any], ...] = (
    ("drawn, apart", lambda row: _apart(row)["num_samples"]),
    ("KID, apart", lambda row: _value(_apart(row)["kid"], number)),
    ("95 % interval", lambda row: interval(_apart(row)["kid"])),
    ("precision, apart", lambda row: _value(_apart(row)["precision"], percent)),
)
