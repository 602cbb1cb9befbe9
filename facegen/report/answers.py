"""What is said of evaluations of obedience and fairness: attributes, control matrix, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from facegen.report.blocks import Block, Fold, Headline, Shares, Table
from facegen.report.told import Evaluation, Told
from facegen.report.words import interval, percent, percent_interval
from facegen.vocabulary.words import readable

LEAKS_SHOWN = 3
GRID_MIN_WIDTH = 720
HEAT_MAP_MIN_WIDTH = 1500  # forty columns with readable numbers
OFTEN_ASKED = 10
REQUESTS = (
    ("all", "everything asked for"),
    ("present", "asked to be there"),
    ("absent", "asked to be away"),
    ("whole_request", "whole requests: everything right in one face"),
)


def attributes(evaluation: Evaluation) -> Told:
    """What came true of what was asked for, beside what the judge gets right of real faces."""
    data, generated, request = evaluation.data, evaluation.data["generated"], evaluation.data["request"]
    beside = {"real faces": data["real"], "after autoencoder": data["reconstructed"]}
    beside = {title: told for title, told in beside.items() if told is not None}
    rows = [
        (
            name,
            percent(generated[key]["share"]),
            percent_interval(generated[key]),
            *(percent((told.get(key) or {}).get("share")) for told in beside.values()),
        )
        for key, name in REQUESTS
        if generated.get(key) is not None
    ]
    caption = (
        f"Faces were drawn for {'the labels of held-out people' if request is None else f'“{request}”'}."
    )
    if "real faces" in beside:
        caption += " Real faces: what the judge sees in the very people asked for."
    blocks = [
        "A classifier looks at every face and says what is there. What it gets wrong on real faces no "
        "generator can get right, so read each number beside what it gets right of those.",
        Table(("came true", "drawn faces", "95 % interval", *beside), rows, caption=caption),
        *_by_attribute(data),
        *evaluation.picture(
            "grid",
            "The first requests, in order: what was asked to be there, and what was missed or not wanted.",
            "Grid of drawn faces, each with what was asked of it",
            min_width_pixels=GRID_MIN_WIDTH,
        ),
        *_kept(data.get("kept") or {}),
        evaluation.honesty({"right on held-out real faces": percent(data["classifier_accuracy"])}),
    ]
    every = generated["all"]
    asked = "what it was asked for" if request is None else f"faces asked for with “{request}”"
    true = f"{percent(every['share'])} came true (95 % interval {percent_interval(every)})"
    return Told(blocks, [f"Of {asked}, {true}."], _attribute_headlines(data))


def _attribute_headlines(data: dict[str, Any]) -> list[Headline]:
    names = {"all": "of everything asked for came true", "present": "of what must appear is there"}
    if data["request"] is not None:
        names = {"all": f"came true of “{data['request']}”"}
    told, found = f"as a classifier sees {data['num_samples']:,} faces", []
    for key, name in names.items():
        row, real = data["generated"].get(key), (data["real"] or {}).get(key)
        if row is not None:
            beside = "" if real is None else f"real faces with those labels: {percent(real['share'])}"
            found.append(Headline(name, str(percent(row["share"])), told, _sure(row), beside))
    return found


def _sure(row: Mapping[str, Any]) -> str:
    return f"95 % interval {percent_interval(row)}"


def _by_attribute(data: dict[str, Any]) -> list[Block]:
    if len(data["attributes"]) < 2:
        return []
    ordered = sorted(data["attributes"].items(), key=lambda item: -(item[1]["asked_yes"]["hit_rate"] or 0.0))
    found_in, beside = _found_by_the_judge(data)
    bars = [
        (readable(name), row["asked_yes"]["hit_rate"], found_in.get(name))
        for name, row in ordered
        if row["asked_yes"]["hit_rate"] is not None
    ]
    columns = {
        "recall": "recall",
        "precision": "precision",
        "accuracy": "accuracy",
        "recall, real faces": "recall_on_real",
        "precision, real": "precision_on_real",
        "accuracy, real": "accuracy_on_real",
        "accuracy, after autoencoder": "accuracy_on_reconstructions",
        "accuracy, held-out": "classifier_accuracy",
    }
    rows = [
        (
            readable(name),
            row["asked_yes"]["num_asked"],
            row["asked_no"]["num_asked"],
            percent(row["asked_no"]["hit_rate"]),
            *(percent(row.get(key)) for key in columns.values()),
        )
        for name, row in ordered
    ]
    few = [i for i, (_, row) in enumerate(ordered) if row["asked_yes"]["num_asked"] < OFTEN_ASKED]
    caption = (
        "Kept away: of the faces asked not to have it, those without. Recall: of the faces asked to have it, "
        "those that have it. Precision: of the faces that have it, those asked to. Real: the same of the "
        "real faces with those labels, which is the judge’s own error; held-out: of its own test. "
        f"Greyed out: asked for fewer than {OFTEN_ASKED} times."
    )
    table = Table(
        ("attribute", "asked for", "asked away", "kept away", *columns), rows, caption=caption, dimmed=few
    )
    told = "How often an attribute that was asked for is there."
    return [
        *([Shares(bars, "By attribute", told, beside)] if bars else []),
        Fold("The same as numbers", [table.filled()]),
    ]


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


def _kept(kept: dict[str, dict[str, Any]]) -> list[Block]:
    """Models of pictures: which attributes of the picture came back."""
    rows = [
        (readable(name), percent(row["agreement"]), percent(row["chance"]), row["num_images"])
        for name, row in sorted(kept.items(), key=lambda item: -item[1]["margin"])
    ]
    columns = ("attribute of the picture", "kept", "by chance", "images")
    return [Table(columns, rows, "What is kept of the picture it was asked with")] if rows else []


def control(evaluation: Evaluation) -> Told:
    """What one changed wish changes, as the heat map, as rows and as pairs of faces."""
    data, hit, leakage = evaluation.data, evaluation.data["hit"], evaluation.data["leakage"]
    columns = ("wish changed", "hit", "95 % interval", "redrawn", "judge’s limit", "leakage", "leaks into")
    caption = (
        "Redrawn: hits of a generator that draws another face each time. Judge’s limit: what the "
        "classifier’s own errors would leave of a perfect generator’s hits. Leakage: of all other answers, "
        "how many changed."
    )
    rows = [_control_row(row, data["classifier_limits"].get(row["attribute"], {})) for row in data["rows"]]
    limit = percent(data["classifier_hit"]) or "unknown"
    leaked = percent(leakage and leakage["share"])
    verdict = (
        "Each face is drawn twice from the same noise, and only one wish differs: does that attribute "
        f"change, and does anything else? Of wishes changed alone, {percent(hit['share'])} came true "
        f"({_sure(hit)}; faces redrawn at random: {percent(data['hit_chance'])}; the most this judge would "
        f"grant: {limit})"
    )
    if leakage is not None:
        verdict += f", and of everything else {leaked} ({percent_interval(leakage)}) changed with them"
    ineffective = ", ".join(map(readable, data["no_effect_shown"]))
    blocks = [
        f"{verdict}.",
        *([f"Asking has no effect shown beyond chance for: {ineffective}."] if ineffective else []),
        *evaluation.picture(
            "heat_map",
            "Rows: the wish that changed. Columns: what the judge saw change.",
            "Control matrix as a heat map",
            min_width_pixels=HEAT_MAP_MIN_WIDTH,
        ),
        Table(columns, rows, caption=caption),
        *evaluation.picture(
            "grid", "Pairs, without and with the wish.", "Pairs", min_width_pixels=GRID_MIN_WIDTH
        ),
        *data["remarks"],
        evaluation.honesty({"drawn faces": None, "pairs for each wish": data["num_samples"]}),
    ]
    sentence = f"One wish changed alone came true in {percent(hit['share'])}"
    sentence += f", and {leaked} of the rest changed, too." if leakage else "."
    headline = Headline(
        "of changed wishes come true",
        str(percent(hit["share"])),
        "one wish changed, the noise unchanged",
        _sure(hit),
        f"the most the judge would grant: {limit}",
    )
    return Told(blocks, [sentence], [headline])


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


def subgroups(evaluation: Evaluation) -> Told:
    """Every group's scores; small groups last and greyed out."""
    data = evaluation.data
    everyone, *groups = data["rows"]
    ordered = [everyone, *sorted(groups, key=lambda row: row["small"])]
    parted = any(row.get("apart") for row in ordered)
    table = Table(
        (
            "group", "drawn", "real", "KID", "95 % interval", "Fréchet distance", "precision", "recall",
            "as asked", "95 % interval", "real faces", "drawn, apart", "KID, apart", "95 % interval",
            "precision, apart",
        ),
        [_group_row(row, (row.get("apart") or row) if parted else {}) for row in ordered],
    ).filled()  # fmt: skip
    num_large = sum(not row["small"] for row in ordered)
    large, small = table.rows[:num_large], table.rows[num_large:]
    caption = (
        "KID: distance from the real faces of the same group, lower is better. As asked: share of what was "
        "asked for that came true, beside what the judge gets right of real faces where that is known."
    )
    if parted:
        caption += (
            " Apart: the same group without the images of those that are worse off by themselves, as groups "
            "share images."
        )
    few = f"Too small to tell: {len(small)} with fewer than {data['small_below']} images on one side"
    dimmed = replace(table, rows=small, dimmed=range(len(small)))
    worse = ", ".join(map(readable, data["worse_off"]))
    verdict = (
        f"Beyond doubt worse off than all others: {worse}."
        if worse
        else "No group is beyond doubt worse off than all others at this number of faces."
    )
    blocks = [
        verdict,
        replace(table, rows=large, caption=caption),
        *([Fold(few, [dimmed])] if small else []),
        *data["remarks"],
        evaluation.honesty(),
    ]
    told = f"of {len(groups)}, beyond doubt worse off than all others"
    return Told(blocks, [verdict], [Headline("groups worse off", str(len(data["worse_off"])), told)])


def _group_row(row: dict[str, Any], apart: dict[str, Any]) -> tuple[object, ...]:
    """A group's scores, and those of `apart`, the same group without images of groups worse off."""

    def value(cell: dict[str, Any] | None) -> float | None:
        return None if cell is None else cell["value"]

    return (
        readable(f"{row['label']}: {row['value']}" if row["value"] else row["label"]),
        row["num_samples"],
        row["num_reference"],
        value(row["kid"]),
        interval(row["kid"]),
        value(row.get("frechet")),
        percent(value(row["precision"])),
        percent(value(row["recall"])),
        percent(value(row["accuracy"])),
        percent_interval(row["accuracy"]),
        percent(value(row["real_accuracy"])),
        apart.get("num_samples"),
        value(apart.get("kid")),
        interval(apart.get("kid")),
        percent(value(apart.get("precision"))),
    )
