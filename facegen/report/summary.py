"""The page's first screen: what the run is, in plain words, and its main numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from facegen.report.answers import subgroup_verdict
from facegen.report.evaluations import DISTRIBUTION, Missing, Shown
from facegen.report.facts import RunFacts
from facegen.report.html import Headline
from facegen.report.scores import SCORE_NAMES
from facegen.report.words import duration, interval, number, percent, percent_interval
from facegen.vocabulary.words import readable

NAMES = {"generator": "A generator", "autoencoder": "An autoencoder", "classifier": "A classifier"}
CONDITIONS = {
    "attributes": "attributes such as smiling or eyeglasses",
    "class_label": "a class",
    "text": "a caption",
    "image_features": "what a frozen image encoder makes of a picture",
    "semantic_encoder": "a vector read from a picture",
}


def summary(facts: RunFacts, shown: Shown, missing: list[Missing]) -> str:
    """Paragraphs: what was trained on what and for how long, whether it learned, what it scores, what is
    not known."""
    parts = [
        what_it_is(facts),
        _how_long(facts),
        is_it_better(facts),
        " ".join(score_sentences(shown)),
        _open(missing),
    ]
    return "\n\n".join(part for part in parts if part)


def what_it_is(facts: RunFacts) -> str:
    """What was trained, how large, and on what."""
    size = facts.image_size
    of = f" of {size}×{size} pixel faces" if size else " of faces"
    words = [f"{NAMES[facts.kind]}{of}"]
    if facts.kind == "generator" and facts.conditioner not in (None, "none"):
        words.append(
            f", asked with {CONDITIONS.get(str(facts.conditioner), readable(str(facts.conditioner)))}"
        )
    if facts.num_parameters:
        words.append(f", with {_millions(facts.num_parameters)} parameters")
    data, split = facts.data, facts.recipe.data.train_split
    count = (data.counts or {}).get(split)
    if count:
        words.append(f", trained on {count:,} images of {data.name or data.path}")
    elif data.path:
        words.append(f", trained on '{data.path}', which is not there to look at any more")
    about = f" {facts.recipe.about}" if facts.recipe.about else ""
    return "".join(words) + "." + about


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,}"


def _how_long(facts: RunFacts) -> str:
    rows = facts.logged("train")
    if not rows:
        return "It has not logged a single training step yet."
    last = rows[-1]
    text = f"It trained for {last['step']:,} steps"
    if isinstance(seen := last.get("images_seen"), int):
        text += f" and saw {seen:,} images"
        count = (facts.data.counts or {}).get(facts.recipe.data.train_split)
        if count:
            text += f", each about {number(round(seen / count, 1))} times"
    if (seconds := facts.training_seconds) is not None:
        text += f", in about {duration(seconds)}{_machine(facts)}"
    return text + "."


def _machine(facts: RunFacts) -> str:
    devices, threads = facts.environment.get("cuda_devices"), facts.environment.get("cpu_threads")
    if isinstance(devices, list) and devices:
        return f" on {devices[0]}"
    if isinstance(threads, int):
        return f" on {threads} CPU {'thread' if threads == 1 else 'threads'}"
    return ""


def is_it_better(facts: RunFacts) -> str:
    """Whether it is better than guessing, as the newest validation says."""
    row = facts.validation
    if not row:
        return "It was never validated, so nobody knows whether it is better than guessing."
    told = row.get("verdict") or f"held-out loss {row.get('loss')}"
    verdict = f"{str(told).rstrip('.')} (step {row['step']:,})."
    better = row.get("better_than_trivial")
    if better is None:
        return verdict[0].upper() + verdict[1:]
    start = "It is better than guessing: " if better else "It is no better than guessing: "
    return start + verdict


def score_sentences(shown: Shown) -> Iterator[str]:
    """A sentence for each evaluation, with how sure it is."""
    found = shown.newest
    if DISTRIBUTION in found:
        yield from _closeness(found[DISTRIBUTION].data)
    if "attributes" in found:
        data = found["attributes"].data
        row = data["generated"]["all"]
        asked = (
            "what it was asked for"
            if data["request"] is None
            else f"faces asked for with “{data['request']}”"
        )
        yield f"Of {asked}, {percent(row['share'])} came true (95 % interval {percent_interval(row)})."
    if "control" in found:
        data = found["control"].data
        told = f"One wish changed alone came true in {percent(data['hit']['share'])}"
        leakage = data["leakage"]
        yield told + (
            "." if leakage is None else f", and {percent(leakage['share'])} of the rest changed, too."
        )
    if "memorization" in found:
        data = found["memorization"].data
        yield f"Copies of training images: {data['verdict']}"
    if "subgroups" in found:
        yield subgroup_verdict(found["subgroups"].data)
    if "reconstruction" in found:
        data = found["reconstruction"].data
        psnr = data["psnr"]
        yield f"Held-out images come back with {psnr['mean']:.1f} dB PSNR ({interval(psnr)})."


def _closeness(data: dict[str, Any]) -> Iterator[str]:
    name, row = next(iter(data["scores"].items()))
    text = f"{SCORE_NAMES.get(name, readable(name))} in {data['features']} features: {_best_value(row)}"
    text += f" (95 % interval {interval(row)})" if interval(row) else " (no interval at this number of faces)"
    if row["floor"] is not None:
        text += f", where real faces score {number(row['floor'])}"
    yield text + "."


def _best_value(row: dict[str, Any]) -> str | None:
    return number(row["value"] if row["estimate"] is None else row["estimate"])


def _open(missing: list[Missing]) -> str:
    if not missing:
        return ""
    return f"Not known yet: {'; '.join(one.unknown for one in missing)}."


def headlines(facts: RunFacts, shown: Shown) -> list[Headline]:
    """The numbers to look at first."""
    found = [*_learned(facts)]
    newest = shown.newest
    if DISTRIBUTION in newest:
        found += _closeness_headline(newest[DISTRIBUTION].data)
    if "attributes" in newest:
        found += _attribute_headlines(newest["attributes"].data)
    if "control" in newest:
        data = newest["control"].data
        row, told = data["hit"], "one wish changed, the noise unchanged"
        limit = f"the most the judge would grant: {percent(data['classifier_hit']) or 'unknown'}"
        found.append(
            Headline("of changed wishes come true", str(percent(row["share"])), told, _sure(row), limit)
        )
    if "memorization" in newest:
        data = newest["memorization"].data
        unseen = f"unseen real faces: {percent(data['held_out']['share'])}"
        told = "faces nearer to a training image than unseen people are"
        found.append(Headline("look like copies", str(percent(data["share"])), told, _sure(data), unseen))
    if "subgroups" in newest:
        data = newest["subgroups"].data
        told = f"of {len(data['rows']) - 1}, beyond doubt worse off than all others"
        found.append(Headline("groups worse off", str(len(data["worse_off"])), told))
    if "reconstruction" in newest:
        row = newest["reconstruction"].data["psnr"]
        sure = f"95 % interval {interval(row)}"
        found.append(Headline("dB PSNR", f"{row['mean']:.1f}", "held-out images, encoded and decoded", sure))
    return found


def _sure(row: dict[str, Any]) -> str:
    return f"95 % interval {percent_interval(row)}"


def _learned(facts: RunFacts) -> Iterator[Headline]:
    row = facts.validation
    loss, trivial, psnr = row.get("loss"), row.get("trivial_loss"), row.get("psnr")
    if isinstance(loss, float) and isinstance(trivial, float) and trivial > 0:
        value = f"{100 * (1 - loss / trivial):.0f} %"
        told = f"loss {number(loss)} on held-out images, guessing scores {number(trivial)}"
        yield Headline("less error than guessing", value, told)
    if isinstance(psnr, float):
        floor = row.get("mean_image_psnr")
        told = "" if floor is None else f"the mean image: {floor:.1f}"
        yield Headline(
            "dB PSNR in training’s check", f"{psnr:.1f}", "held-out images, encoded and decoded", "", told
        )
    names = {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}
    for key, name in names.items():
        if isinstance(value := row.get(key), float):
            yield Headline(
                name, str(percent(value)) if key != "auc" else f"{value:.3f}", "mean, on held-out images"
            )


def _closeness_headline(data: dict[str, Any]) -> list[Headline]:
    found = []
    for name in ("fid", "kid", "recall"):
        if (row := data["scores"].get(name)) is None:
            continue
        beside = [
            f"{title} {number(row[key])}"
            for key, title in (("floor", "real faces"), ("ceiling", "after the autoencoder"))
            if row[key] is not None
        ]
        told = f"{row['better']} is better; {data['num_samples']:,} faces, {data['features']} features"
        sure = f"95 % interval {interval(row)}" if interval(row) else "no interval at this number of faces"
        found.append(Headline(SCORE_NAMES[name], str(_best_value(row)), told, sure, "; ".join(beside)))
    return found[:2]


def _attribute_headlines(data: dict[str, Any]) -> list[Headline]:
    found = []
    names = (("all", "of everything asked for came true"), ("present", "of what must appear is there"))
    if data["request"] is not None:
        names = (("all", f"came true of “{data['request']}”"),)
    for key, name in names:
        row, real = data["generated"].get(key), (data["real"] or {}).get(key)
        if row is not None:
            beside = "" if real is None else f"real faces with those labels: {percent(real['share'])}"
            told = f"as a classifier sees {data['num_samples']:,} faces"
            found.append(Headline(name, str(percent(row["share"])), told, _sure(row), beside))
    return found
