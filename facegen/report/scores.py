"""What is said of evaluations of closeness: distributions, sweeps, captions, reconstructions, copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from facegen.report.blocks import Block, Fold, Headline, Table
from facegen.report.told import Evaluation, Said, Sentence
from facegen.report.words import cell, interval, percent, percent_interval, sure
from facegen.vocabulary.words import readable

SCORE_NAMES = {
    "fid": "Fréchet distance",
    "fid_infinity": "Fréchet distance, extrapolated to infinitely many",
    "kid": "Kernel distance",
    "mind": "Sliced transport distance",
    "cmmd": "Kernel distance of CLIP's",
    "inception_score": "Inception score",
    "diversity": "Diversity of people",
    "attributes": "Attributes that came true",
    "attributes_present": "Of those asked to be there",
}
DISTANCES = (
    "Distances are those of the features of drawn faces from those of real ones: lower is better, and only "
    "the row of real faces says what is low."
)
SHARES = (
    "Precision is the share of drawn faces that look like real ones, recall the share of real "
    "faces that the model could have drawn."
)
DISTANCE_NAMES = {"fid", "kid", "cmmd", "mind"}
IN_HEADLINES = ("fid", "kid", "recall")
PROMPTS_SHOWN = 12


def score_name(name: str, row: Mapping[str, Any] = {}) -> str:
    """A score as papers call it where its `row` says that it is theirs, otherwise what it is."""
    return row.get("published") or SCORE_NAMES.get(name, readable(name))


def distribution(evaluation: Evaluation) -> Iterator[Said]:
    """All scores of one look at the faces, each beside real ones."""
    data, scores = evaluation.data, evaluation.data["scores"]
    told = [DISTANCES] if DISTANCE_NAMES & scores.keys() else []
    told += [SHARES] if "precision" in scores else []
    if told:
        yield " ".join(told)
    columns = ("score", "value", "estimate", "95 % interval", "real faces", "after autoencoder", "better")
    rows = [
        (
            score_name(name, row),
            row["value"],
            row["estimate"],
            interval(row) or "unknown",
            *(row[key] for key in ("floor", "ceiling", "better")),
        )
        for name, row in scores.items()
    ]
    caption = (
        f"Value: {_whose(scores)} Estimate: without the bias of few images, with its "
        "interval. Real faces: held-out real ones judged in the place of drawn ones; nobody can be asked for "
        "better. After autoencoder: real faces encoded and decoded; a generator on those latents can hardly "
        "beat it."
    )
    yield Table(columns, rows, caption=caption)
    yield from data["remarks"]
    yield _what_was_compared(evaluation)
    name, row = next(iter(scores.items()))
    real = "" if row["floor"] is None else f", where real faces score {cell(row['floor'])}"
    score = f"{score_name(name, row)} in {data['features']} features: {_best_value(row)}"
    yield Sentence(f"{score} ({sure(interval(row))}){real}.")
    for name in [name for name in IN_HEADLINES if name in scores][:2]:
        yield _headline(data, name, scores[name])


def _whose(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether the values are what papers report."""
    own = [name for name, row in scores.items() if not row.get("published")]
    if not own:
        return "as papers give it."
    if len(own) == len(scores):
        return "of the published form; in these features it is no published metric."
    theirs = ", ".join(row["published"] for row in scores.values() if row.get("published"))
    return f"{theirs} as papers give it; the others are no published metric in these features."


def _what_was_compared(evaluation: Evaluation) -> Block:
    data, marks = evaluation.data, evaluation.data["fingerprint"]
    floor, ceiling = data["floor"], data["ceiling"]
    of = dict.fromkeys(row["interval_of"] for row in data["scores"].values() if row.get("interval_of"))
    return evaluation.honesty(
        {
            "network, layer, resize": marks.get("features"),
            "fingerprint of the reference": marks.get("reference"),
            "pixels a side": marks.get("image_size"),
            "files": f"{marks.get('bits')} bits a channel, {marks.get('compression')}",
            "real faces in their place": floor and f"{cell(floor['num_samples'])}, {floor['method']}",
            "real faces after the autoencoder": ceiling and ceiling["num_samples"],
            "intervals are of": "; ".join(of) or None,
        }
    )


def _headline(data: dict[str, Any], name: str, row: dict[str, Any]) -> Headline:
    beside = [
        f"{title} {cell(row[key])}"
        for key, title in (("floor", "real faces"), ("ceiling", "after the autoencoder"))
        if row[key] is not None
    ]
    told = f"{row['better']} is better; {data['num_samples']:,} faces, {data['features']} features"
    return Headline(score_name(name, row), _best_value(row), told, sure(interval(row)), "; ".join(beside))


def _best_value(row: dict[str, Any]) -> str:
    return cell(row["value"] if row["estimate"] is None else row["estimate"])


def diversity(evaluation: Evaluation) -> Iterator[Said]:
    """How far apart people are, group by group beside real ones; groups of too few faces last."""
    data = evaluation.data
    if "rows" not in data:  # of a facegen that told everyone's spread alone
        yield from distribution(evaluation)
        return
    everyone, *groups = data["rows"]
    names = ", ".join(map(readable, data["narrower"]))
    verdict = (
        f"Drawn people are beyond doubt more alike than real ones: {names}."
        if names
        else "No group is beyond doubt more alike than its real people at this number of faces."
    )
    yield verdict
    yield Sentence(verdict)
    columns = (
        "group",
        "drawn",
        "spread",
        "95 %",
        "real",
        "theirs",
        "95 % of theirs",
        "95 % of the difference",
    )
    caption = (
        "Spread: the mean distance of two faces; higher is more diverse. Theirs: that of real people of the "
        "same group. By chance any group is called more alike in at most 5 % of evaluations."
    )
    told = [row for row in groups if row["difference"]]
    told.sort(key=lambda row: (not row["narrower"], row["difference"]["value"]))
    yield Table(columns, [_spread_row(row) for row in (everyone, *told)], caption=caption)
    if few := [row for row in groups if not row["difference"]]:
        rows = [(_group_name(row), row["num_samples"], row["num_real"]) for row in few]
        table = Table(("group", "drawn", "real"), rows, dimmed=range(len(rows)))
        yield Fold(f"Too small to tell: {len(few)} groups", [table])
    caption = "How far apart drawn and real people are: from the most alike other face, and any two."
    yield from evaluation.picture("picture", caption, title="Distances", min_width_pixels=720)
    yield from data["remarks"]
    yield _what_was_compared(evaluation)
    drawn, real = everyone["drawn"], everyone["real"]
    if drawn is not None:
        told_by = f"mean distance of two faces, {data['features']} features"
        beside = f"real people {cell(real['value'])}"
        yield Headline("Diversity of people", cell(drawn["value"]), told_by, sure(interval(drawn)), beside)


def _group_name(row: Mapping[str, Any]) -> str:
    return readable(f"{row['label']}: {row['value']}" if row["value"] else row["label"])


def _spread_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    sides = [row[side] or {} for side in ("drawn", "real")]
    (drawn, ends), (real, others) = [(side.get("value"), interval(side)) for side in sides]
    return (
        _group_name(row),
        row["num_samples"],
        drawn,
        ends,
        row["num_real"],
        real,
        others,
        interval(row["difference"]),
    )


def sweep(evaluation: Evaluation) -> Iterator[Said]:
    """One row a value of the setting, and the picture of the trade-off."""
    data, reports = evaluation.data, evaluation.data["reports"]
    names, setting = list(reports[0]["scores"]), data["setting"]
    yield from evaluation.picture("plot", "", f"Trade-off over {setting}")
    rows = [
        (
            value if isinstance(value, str) else f"{value:g}",
            *(told for name in names for told in _with_interval(report["scores"].get(name))),
            value in data["pareto"],
        )
        for value, report in zip(data["values"], reports, strict=True)
    ]
    caption = "Not beaten: no other value is better in both scores of the plot."
    columns = [column for name in names for column in (score_name(name), "95 % interval")]
    yield Table((setting, *columns, "not beaten"), rows, caption=caption).filled()
    drawn = {"drawn faces": None, "drawn faces for each value": reports[0]["num_samples"]}
    sampler = (reports[0].get("settings") or {}).get("sampler") or {}
    differs: dict[str, Any] = {"sampler": None if setting == "sampler" else sampler.get("kind")}
    if setting in ("guidance", "seed"):
        differs = {setting: None}
    yield replace(evaluation, data=reports[0]).honesty({**drawn, **differs})


def _with_interval(row: dict[str, Any] | None) -> tuple[object, object]:
    return (None, None) if row is None else (row["value"], interval(row))


def clip_score(evaluation: Evaluation) -> Iterator[Said]:
    """Agreement of faces and captions, beside swapped captions and real faces."""
    data, real = evaluation.data, evaluation.data["real"]
    yield (
        "100 times the cosine between what CLIP makes of picture and caption; what it is worth shows "
        "above the score with the captions swapped."
    )
    rows = [("drawn faces", data["score"], interval(data), data["num_samples"])]
    if real is not None:
        rows.append(("the real faces of the captions", real["score"], interval(real), real["num_samples"]))
    if data["chance"] is not None:
        rows.append(("drawn faces, captions swapped", data["chance"], None, data["num_samples"]))
    yield Table(("what", "CLIP score", "95 % interval", "images"), rows)
    yield from data["remarks"]
    worst = [(row.get("prompt"), row.get("score"), row.get("num_samples")) for row in data["prompts"]]
    columns = ("caption", "score", "images")
    yield Fold("The captions it fits worst", [Table(columns, worst[:PROMPTS_SHOWN])])
    yield evaluation.honesty()


def loss(evaluation: Evaluation) -> Iterator[Said]:
    """The held-out loss with its interval."""
    data, row = evaluation.data, evaluation.data["scores"]["loss"]
    yield (
        f"{cell(row['value'])} (95 % interval {interval(row)}) over {data['num_samples']:,} held-out images, "
        "at the noise of every validation. Another run's loss compares with it where data, task and path of "
        "the noise are the same: facegen compare."
    )
    yield evaluation.honesty({"drawn faces": None, "images": data["num_samples"]})


def reconstruction(evaluation: Evaluation) -> Iterator[Said]:
    """What an autoencoder loses, and the images that lose most."""
    data, psnr, frechet = evaluation.data, evaluation.data["psnr"], evaluation.data["frechet"]
    measured = (
        ("PSNR, dB (higher is better)", psnr),
        ("SSIM (higher is better)", data["ssim"]),
        (f"{data['distance_name']} (lower is better)", data["distance"]),
    )
    rows = [(name, row["mean"], interval(row), row["worst_5_percent"]) for name, row in measured if row]
    worst = "Worst twentieth: what the worst 5 % of images do not reach."
    yield Table(("fidelity", "mean", "95 % interval", "worst twentieth"), rows, caption=worst)
    if frechet is not None:
        rows = [("Fréchet distance", frechet["score"], interval(frechet), data["features"])]
        yield Table(("images against reconstructions", "score", "95 % interval", "features"), rows)
    caption = "The images that lost most, each beside its reconstruction."
    yield from evaluation.picture("picture", caption, min_width_pixels=720)
    yield from data["remarks"]
    yield evaluation.honesty({"drawn faces": None, "images": data["num_samples"]})
    value = f"{psnr['mean']:.1f}"
    yield Sentence(f"Held-out images come back with {value} dB PSNR ({interval(psnr)}).")
    yield Headline("dB PSNR", value, "held-out images, encoded and decoded", sure(interval(psnr)))


def _shares(row: dict[str, Any]) -> tuple[str | None, str | None]:
    return percent(row["share"]), percent_interval(row)


def memorization(evaluation: Evaluation) -> Iterator[Said]:
    """Whether faces are copies, with the nearest pairs as a picture."""
    data, unseen, pairs = evaluation.data, evaluation.data["held_out"], evaluation.data["pairs"]
    people = data.get("people")
    yield " ".join(filter(None, (data["verdict"], data.get("people_note"), data.get("unseen"))))
    rows = [
        (name, percent(row["share"]), percent_interval(row), row["num_samples"])
        for name, row in (("drawn faces", data), ("unseen real faces", unseen))
    ]
    yield Table(("what", "flagged as a copy", "95 % interval", "images"), rows)
    if people:
        rows = [
            ("drawn faces", percent(people["share"]), percent_interval(people), people["num_samples"]),
            ("unseen people", *_shares(people["held_out"]), people["held_out"]["num_samples"]),
        ]
        if again := people["recognised"]:
            rows.append(("training people, by another photo", *_shares(again), again["num_samples"]))
        yield Table(("what", f"known by {people['judge']}", "95 % interval", "images"), rows)
    caption = (
        "Drawn face, nearest training image, its mirror image: the pairs that look most like copies. Score: "
        "the distance over that to the ten next training images; 0 is a copy, near 1 a face of its own."
    )
    yield from evaluation.picture("picture", caption, title="The nearest pairs", min_width_pixels=640)
    if people and people["picture"]:
        of_people = replace(evaluation, data=people)
        caption = (
            "Drawn faces that are no copies, each beside the training image of whoever looks most alike."
        )
        yield from of_people.picture("picture", caption, title="The nearest people", min_width_pixels=640)
    if pairs:
        table = Table([readable(key) for key in pairs[0]], [tuple(pair.values()) for pair in pairs])
        yield Fold("The same pairs as numbers", [table])
    yield from data.get("remarks", ())
    rate = f"{percent(data['nominal_rate'])} are flagged"
    yield evaluation.honesty(
        {"flagged below a score of": data["threshold"], "set so that of unseen real faces": rate}
    )
    yield Sentence(f"Copies of training images: {data['verdict']}")
    yield Headline(
        "look like copies",
        str(percent(data["share"])),
        "faces nearer to a training image than unseen people are",
        sure(percent_interval(data)),
        f"unseen real faces: {percent(unseen['share'])}",
    )
