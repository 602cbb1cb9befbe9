"""What is said of evaluations of obedience and fairness: attributes, control matrix, subgroups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from facegen.report.blocks import Block, Fold, Headline, Shares, Table
from facegen.report.told import Evaluation, Said, Sentence
from facegen.report.words import interval, percent, percent_interval, sure
from facegen.vocabulary.words import readable

LEAKS_SHOWN = 3
GRID_MIN_WIDTH = 720
HEAT_MAP_MIN_WIDTH = 1500  # forty columns with readable numbers
OFTEN_ASKED = 10
REQUESTS = {
    "all": "everything asked for",
    "present": "asked to be there",
    "absent": "asked to be away",
    "whole_request": "whole requests: everything right in one face",
}
GROUP_SCORES = {
    "kernel distance": "kid",
    "Fréchet distance": "frechet",
    "precision": "precision",
    "recall": "recall",
    "as asked": "accuracy",
    "real faces": "real_accuracy",
}
APART_SCORES = {"kernel distance, apart": "kid", "precision, apart": "precision"}
INTERVAL = "95 % interval"
RATES = {
    "recall": "recall",
    "precision": "precision",
    "accuracy": "accuracy",
    "recall, real faces": "recall_on_real",
    "precision, real": "precision_on_real",
    "accuracy, real": "accuracy_on_real",
    "accuracy, after autoencoder": "accuracy_on_reconstructions",
    "accuracy, held-out": "classifier_accuracy",
}


def attributes(evaluation: Evaluation) -> Iterator[Said]:
    """What came true of what was asked for, beside what the judge gets right of real faces."""
    data, generated, request = evaluation.data, evaluation.data["generated"], evaluation.data["request"]
    beside = {"real faces": data["real"], "after autoencoder": data["reconstructed"]}
    beside = {title: told for title, told in beside.items() if told is not None}
    came_true = {key: row for key in REQUESTS if (row := generated.get(key)) is not None}
    rows = [
        (
            REQUESTS[key],
            percent(row["share"]),
            percent_interval(row),
            row.get("num_asked"),
            *(percent((told.get(key) or {}).get("share")) for told in beside.values()),
        )
        for key, row in came_true.items()
    ]
    wanted = "the labels of held-out people" if request is None else f"“{request}”"
    caption = f"Faces were drawn for {wanted}."
    if "real faces" in beside:
        caption += " Real faces: what the judge sees in the very people asked for."
    yield (
        "A classifier looks at every face and says what is there. What it gets wrong on real faces no "
        "generator can get right, so read each number beside what it gets right of those."
    )
    yield Table(("came true", "drawn faces", INTERVAL, "asked", *beside), rows, caption=caption).filled()
    yield from _by_attribute(data)
    yield from data.get("remarks", ())
    grid = "The first requests, in order: what was asked to be there, and what was missed or not wanted."
    alt = "Grid of drawn faces, each with what was asked of it"
    yield from evaluation.picture("grid", grid, alt, min_width_pixels=GRID_MIN_WIDTH)
    if data.get("kept"):
        yield _kept(data["kept"])
    yield evaluation.honesty(
        {
            "right on held-out real faces": percent(data["classifier_accuracy"]) or "unknown",
            "weakest": ", ".join(map(readable, data.get("weakest", ()))) or None,
        }
    )
    every = generated["all"]
    asked = "what it was asked for" if request is None else f"faces asked for with “{request}”"
    yield Sentence(f"Of {asked}, {percent(every['share'])} came true ({sure(percent_interval(every))}).")
    names = {"all": "of everything asked for came true", "present": "of what must appear is there"}
    for key, name in names.items() if request is None else [("all", f"came true of “{request}”")]:
        if row := came_true.get(key):
            real = (data["real"] or {}).get(key)
            told = "" if real is None else f"real faces with those labels: {percent(real['share'])}"
            meaning = f"as a classifier sees {data['num_samples']:,} faces"
            yield Headline(name, str(percent(row["share"])), meaning, sure(percent_interval(row)), told)


def _by_attribute(data: dict[str, Any]) -> Iterator[Block]:
    ordered = sorted(data["attributes"].items(), key=lambda item: -(item[1]["asked_yes"]["hit_rate"] or 0.0))
    found_in, beside = _found_by_the_judge(data)
    bars = [
        (readable(name), row["asked_yes"]["hit_rate"], found_in.get(name))
        for name, row in ordered
        if row["asked_yes"]["hit_rate"] is not None
    ]
    if bars:
        yield Shares(bars, "By attribute", "How often an attribute that was asked for is there.", beside)
    rows = [
        (
            readable(name),
            row["asked_yes"]["num_asked"],
            row["asked_no"]["num_asked"],
            percent(row["asked_no"]["hit_rate"]),
            *(percent(row.get(key)) for key in RATES.values()),
        )
        for name, row in ordered
    ]
    few = [i for i, (_, row) in enumerate(ordered) if row["asked_yes"]["num_asked"] < OFTEN_ASKED]
    caption = (
        "Kept away: of the faces asked not to have it, those without. Recall: of the faces asked to have it, "
        "those that have it. Precision: of the faces that have it, those asked to. Real: the same of the "
        "real faces with those labels, which is the judge’s own error; held-out: of its own test."
    )
    columns = ("attribute", "asked for", "asked away", "kept away", *RATES)
    table = Table(columns, rows, "", caption, few, f"asked for fewer than {OFTEN_ASKED} times")
    yield Fold("The same as numbers", [table.filled()])


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


def _kept(kept: dict[str, dict[str, Any]]) -> Table:
    """Models of pictures: which attributes of the picture came back."""
    rows = [
        (
            readable(name),
            percent(row["agreement"]),
            percent_interval((row["agreement_low"], row["agreement_high"])),
            percent(row["chance"]),
            percent(row["margin"]),
            percent_interval((row["margin_low"], row["margin_high"])),
            row["num_images"],
        )
        for name, row in sorted(kept.items(), key=lambda item: -item[1]["margin"])
    ]
    columns = (
        "attribute of the picture", "kept", INTERVAL, "by chance", "above chance by", INTERVAL, "images",
    )  # fmt: skip
    above = sum(row["margin_low"] > 0 for row in kept.values())
    caption = f"{above} of {len(kept)} attributes are kept more often than by chance."
    return Table(columns, rows, "What is kept of the picture it was asked with", caption)


def control(evaluation: Evaluation) -> Iterator[Said]:
    """What one changed wish changes, as the heat map, as rows and as pairs of faces."""
    data, hit, leakage = evaluation.data, evaluation.data["hit"], evaluation.data["leakage"]
    limit = percent(data["classifier_hit"]) or "unknown"
    share, leaked = str(percent(hit["share"])), percent(leakage and leakage["share"])
    beyond = (
        f", and of everything else {leaked} ({percent_interval(leakage)}) changed with them (redrawn at "
        f"random: {percent(data['leakage_chance']) or 'unknown'}; by the judge’s own errors: "
        f"{percent(data['classifier_leakage']) or 'unknown'})"
    )
    yield (
        "Each face is drawn twice from the same noise, and only one wish differs: does that attribute "
        f"change, and does anything else? Of wishes changed alone, {share} came true "
        f"({sure(percent_interval(hit))}; faces redrawn at random: {percent(data['hit_chance'])}; the most "
        f"this judge would grant: {limit}){beyond if leakage else ''}."
    )
    if ineffective := ", ".join(map(readable, data["no_effect_shown"])):
        yield f"Asking has no effect shown beyond chance for: {ineffective}."
    else:
        yield "Asking makes each wish more frequent, beyond chance."
    told, alt = (
        "Rows: the wish that changed. Columns: what the judge saw change.",
        "Control matrix as a heat map",
    )
    yield from evaluation.picture("heat_map", told, alt, min_width_pixels=HEAT_MAP_MIN_WIDTH)
    columns = (
        "wish changed", "hit", INTERVAL, "more often by", "redrawn", "judge’s limit", "leakage", "leaks into",
    )  # fmt: skip
    rows = [_control_row(row, data["classifier_limits"].get(row["attribute"], {})) for row in data["rows"]]
    caption = (
        "More often by: by how much asking raises the share of faces that have it. Redrawn: hits of a "
        "generator that draws another face each time. Judge’s limit: what the classifier’s own errors would "
        "leave of a perfect generator’s hits. Leakage: of all other answers, how many changed."
    )
    yield Table(columns, rows, caption=caption)
    pairs = "Pairs, without and with the wish."
    yield from evaluation.picture("grid", pairs, "Pairs", min_width_pixels=GRID_MIN_WIDTH)
    yield from data["remarks"]
    right = [row["accuracy"] for row in data["classifier_limits"].values() if row["accuracy"] is not None]
    yield evaluation.honesty(
        {
            "drawn faces": None,
            "pairs for each wish": data["num_samples"],
            "judge right on held-out real faces": percent(sum(right) / len(right)) if right else "unknown",
        }
    )
    too = f", and {leaked} of the rest changed, too." if leakage else "."
    yield Sentence(f"One wish changed alone came true in {share}{too}")
    yield Headline(
        "of changed wishes come true",
        share,
        "one wish changed, the noise unchanged",
        sure(percent_interval(hit)),
        f"the most the judge would grant: {limit}",
    )


def _control_row(row: dict[str, Any], limits: dict[str, Any]) -> tuple[str | None, ...]:
    leaks = {name: cell["share"] for name, cell in row["leakage"].items() if cell and cell["share"] > 0}
    worst = sorted(leaks, key=lambda name: -leaks[name])[:LEAKS_SHOWN]
    return (
        readable(row["attribute"]),
        percent(row["hit"]["share"]),
        percent_interval(row["hit"]),
        percent(row["effect"]["share"]),
        percent(row["chance"]),
        percent(limits.get("hit")),
        percent(row["mean_leakage"]),
        ", ".join(f"{readable(name)} {percent(leaks[name])}" for name in worst) or None,
    )


def subgroups(evaluation: Evaluation) -> Iterator[Said]:
    """Every group's scores; small groups last and greyed out."""
    data = evaluation.data
    everyone, *groups = data["rows"]
    worse = ", ".join(map(readable, data["worse_off"]))
    verdict = (
        f"Beyond doubt worse off than all others: {worse}."
        if worse
        else "No group is beyond doubt worse off than all others at this number of faces."
    )
    yield verdict
    yield Sentence(verdict)
    told = f"of {len(groups)}, beyond doubt worse off than all others"
    yield Headline("groups worse off", str(len(data["worse_off"])), told)
    ordered = [everyone, *sorted(groups, key=lambda row: row["small"])]
    parted = any(row.get("apart") for row in ordered)
    caption = (
        "Kernel distance: from the real faces of the same group, lower is better. As asked: share of what "
        "was asked for that came true, beside what the judge gets right of real faces where that is known."
    )
    if parted:
        caption += (
            " Apart: the same group without the images of those that are worse off by themselves, as groups "
            "share images."
        )
    rows = [_group_row(row, (row.get("apart") or row) if parted else {}) for row in ordered]
    columns = ["group", "drawn", "real"]
    columns += [column for title in GROUP_SCORES for column in (title, INTERVAL)]
    columns += ["drawn, apart", *(column for title in APART_SCORES for column in (title, INTERVAL))]
    table = Table(columns, rows, caption=caption).filled()
    num_large = sum(not row["small"] for row in ordered)
    large, small = table.rows[:num_large], table.rows[num_large:]
    yield replace(table, rows=large)
    if small:
        few = f"Too small to tell: {len(small)} with fewer than {data['small_below']} images on one side"
        yield Fold(few, [replace(table, rows=small, caption="", dimmed=range(len(small)))])
    yield from data["remarks"]
    yield evaluation.honesty()


def _group_row(row: dict[str, Any], apart: dict[str, Any]) -> tuple[object, ...]:
    """A group's scores, and those of `apart`, the same group without images of groups worse off."""
    return (
        readable(f"{row['label']}: {row['value']}" if row["value"] else row["label"]),
        row["num_samples"],
        row["num_reference"],
        *_group_scores(row, GROUP_SCORES.values()),
        apart.get("num_samples"),
        *_group_scores(apart, APART_SCORES.values()),
    )


def _group_scores(row: dict[str, Any], keys: Iterable[str]) -> Iterator[object]:
    """Each score and its interval."""
    for key in keys:
        found, distance = row.get(key), key in ("kid", "frechet")
        value = None if found is None else found["value"]
        yield from (value, interval(found)) if distance else (percent(value), percent_interval(found))


def classifier(evaluation: Evaluation) -> Iterator[Said]:
    """What a judge gets right of unseen real faces, label by label; rare labels last and greyed out."""
    data, means, least = evaluation.data, evaluation.data["means"], evaluation.data["min_positives"]
    ordered = sorted(
        data["labels"].items(), key=lambda item: (item[1]["num_positive"] < least, -(item[1]["auc"] or 0.0))
    )
    rows = [
        (
            readable(name),
            row["auc"],
            interval(row["auc_interval"]),
            percent(row["balanced_accuracy"]),
            percent_interval(row["balanced_accuracy_interval"]),
            percent(row["accuracy"]),
            percent(row["majority"]),
            row["num_positive"],
        )
        for name, row in ordered
    ]
    columns = ("label", "AUC", INTERVAL, "balanced", INTERVAL, "accuracy", "commoner", "has it")
    caption = (
        "Balanced: the mean of what it finds and what it leaves alone. Commoner: what always the commoner "
        "answer would score. Has it: how many faces do."
    )
    few = [index for index, (_, row) in enumerate(ordered) if row["num_positive"] < least]
    yield Table(columns, rows, "", caption, few, f"fewer than {least} faces have it, hardly known")
    yield from data["remarks"]
    yield evaluation.honesty(
        {
            "splits": " and ".join(data["splits"]),
            "mean AUC": means["auc"],
            "labels scored": data["num_scored"],
            "balanced accuracy": percent(means["balanced_accuracy"]),
            "calibration error": percent(means["calibration_error"]),
        }
    )
