"""What is said of evaluations of closeness: distributions, sweeps, captions, reconstructions, copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facegen.report.blocks import Block, Fold, Headline, Table
from facegen.report.told import Evaluation, Told
from facegen.report.words import cell, interval, percent, percent_interval
from facegen.vocabulary.words import readable

SCORE_NAMES = {
    "fid": "FID",
    "fid_infinity": "FID, extrapolated to infinitely many",
    "kid": "KID",
    "inception_score": "Inception score",
}
DISTANCES = (
    "FID and KID measure how far the features of drawn faces are from those of real ones: lower is "
    "better, and only the row of real faces says what is low."
)
SHARES = (
    "Precision is the share of drawn faces that look like real ones, recall the share of real "
    "faces that the model could have drawn."
)
IN_HEADLINES = ("fid", "kid", "recall")
PROMPTS_SHOWN = 12


def score_name(name: str) -> str:
    """A score as people call it."""
    return SCORE_NAMES.get(name, readable(name))


def distribution(evaluation: Evaluation) -> Told:
    """All scores of one look at the faces, each beside real ones."""
    data, scores = evaluation.data, evaluation.data["scores"]
    rows = [
        (
            score_name(name),
            row["value"],
            row["estimate"],
            interval(row) or "unknown",
            row["floor"],
            row["ceiling"],
            row["better"],
        )
        for name, row in scores.items()
    ]
    columns = ("score", "published", "estimate", "95 % interval", "real faces", "after autoencoder", "better")
    caption = (
        "Published: the value as papers give it. Estimate: without the bias of few images, with its "
        "interval. Real faces: held-out real ones judged in the place of drawn ones; nobody can be asked for "
        "better. After autoencoder: real faces encoded and decoded; a generator on those latents can hardly "
        "beat it."
    )
    told = [DISTANCES] if {"fid", "kid"} & scores.keys() else []
    told += [SHARES] if "precision" in scores else []
    blocks: list[Block] = [" ".join(told)] if told else []
    blocks += [Table(columns, rows, caption=caption), *data["remarks"], _what_was_compared(evaluation)]
    headlines = [_headline(data, name, scores[name]) for name in IN_HEADLINES if name in scores]
    return Told(blocks, [_sentence(data, *next(iter(scores.items())))], headlines[:2])


def _what_was_compared(evaluation: Evaluation) -> Block:
    data, marks = evaluation.data, evaluation.data["fingerprint"]
    floor, ceiling = data["floor"], data["ceiling"]
    of = dict.fromkeys(row["interval_of"] for row in data["scores"].values() if row.get("interval_of"))
    return evaluation.honesty(
        {
            "network, layer, resize": marks.get("features"),
            "fingerprint of the reference": marks.get("reference") and str(marks["reference"])[:16],
            "pixels a side": marks.get("image_size"),
            "files": f"{marks.get('bits')} bits a channel, {marks.get('compression')}",
            "real faces in their place": floor and f"{cell(floor['num_samples'])}, {floor['method']}",
            "real faces after the autoencoder": ceiling and ceiling["num_samples"],
            "intervals are of": "; ".join(of) or None,
        }
    )


def _sentence(data: dict[str, Any], name: str, row: dict[str, Any]) -> str:
    sure = f"95 % interval {interval(row)}" if interval(row) else "no interval at this number of faces"
    beside = "" if row["floor"] is None else f", where real faces score {cell(row['floor'])}"
    return f"{score_name(name)} in {data['features']} features: {_best_value(row)} ({sure}){beside}."


def _headline(data: dict[str, Any], name: str, row: dict[str, Any]) -> Headline:
    beside = [
        f"{title} {cell(row[key])}"
        for key, title in (("floor", "real faces"), ("ceiling", "after the autoencoder"))
        if row[key] is not None
    ]
    told = f"{row['better']} is better; {data['num_samples']:,} faces, {data['features']} features"
    sure = f"95 % interval {interval(row)}" if interval(row) else "no interval at this number of faces"
    return Headline(score_name(name), _best_value(row), told, sure, "; ".join(beside))


def _best_value(row: dict[str, Any]) -> str:
    return cell(row["value"] if row["estimate"] is None else row["estimate"])


def sweep(evaluation: Evaluation) -> Told:
    """One row a value of the setting, and the picture of the trade-off."""
    data, reports = evaluation.data, evaluation.data["reports"]
    first, setting = reports[0], data["setting"]
    rows = [
        (
            f"{value:g}",
            *(report["scores"].get(name, {}).get("value") for name in first["scores"]),
            value in data["pareto"],
        )
        for value, report in zip(data["values"], reports, strict=True)
    ]
    columns = (setting, *map(score_name, first["scores"]), "not beaten")
    caption = "Not beaten: no other value is better in both scores of the plot."
    return Told(
        [
            *evaluation.picture("plot", "", f"Trade-off over {setting}"),
            Table(columns, rows, caption=caption),
            replace(evaluation, data=first).honesty(),
        ]
    )


def clip_score(evaluation: Evaluation) -> Told:
    """Agreement of faces and captions, beside swapped captions and real faces."""
    data, real = evaluation.data, evaluation.data["real"]
    rows = [("drawn faces", data["score"], interval(data), data["num_samples"])]
    if real is not None:
        rows.append(("the real faces of the captions", real["score"], interval(real), real["num_samples"]))
    if data["chance"] is not None:
        rows.append(("drawn faces, captions swapped", data["chance"], None, data["num_samples"]))
    prompts = [(row.get("prompt"), row.get("score"), row.get("num_samples")) for row in data["prompts"]]
    return Told(
        [
            "100 times the cosine between what CLIP makes of picture and caption; what it is worth shows "
            "above the score with the captions swapped.",
            Table(("what", "CLIP score", "95 % interval", "images"), rows),
            *data["remarks"],
            Fold(
                "The captions it fits worst",
                [Table(("caption", "score", "images"), prompts[:PROMPTS_SHOWN])],
            ),
            evaluation.honesty(),
        ]
    )


def reconstruction(evaluation: Evaluation) -> Told:
    """What an autoencoder loses, and the images that lose most."""
    data, psnr, frechet = evaluation.data, evaluation.data["psnr"], evaluation.data["frechet"]
    measured = (
        ("PSNR, dB (higher is better)", psnr),
        ("SSIM (higher is better)", data["ssim"]),
        (f"{data['distance_name']} (lower is better)", data["distance"]),
    )
    rows = [(name, row["mean"], interval(row), row["worst_5_percent"]) for name, row in measured if row]
    columns = ("fidelity", "mean", "95 % interval", "worst twentieth")
    worst = "Worst twentieth: what the worst 5 % of images do not reach."
    blocks: list[Block] = [Table(columns, rows, caption=worst)]
    if frechet is not None:
        rows = [("Fréchet distance", frechet["score"], interval(frechet), data["features"])]
        blocks.append(Table(("images against reconstructions", "score", "95 % interval", "features"), rows))
    caption = "The images that lost most, each beside its reconstruction."
    blocks += [
        *evaluation.picture("picture", caption, min_width_pixels=720),
        *data["remarks"],
        evaluation.honesty({"drawn faces": None, "images": data["num_samples"]}),
    ]
    value, sure = f"{psnr['mean']:.1f}", f"95 % interval {interval(psnr)}"
    return Told(
        blocks,
        [f"Held-out images come back with {value} dB PSNR ({interval(psnr)})."],
        [Headline("dB PSNR", value, "held-out images, encoded and decoded", sure)],
    )


def memorization(evaluation: Evaluation) -> Told:
    """Whether faces are copies, with the nearest pairs as a picture."""
    data, unseen, pairs = evaluation.data, evaluation.data["held_out"], evaluation.data["pairs"]
    rows = [
        (name, percent(row["share"]), percent_interval(row), row["num_samples"])
        for name, row in (("drawn faces", data), ("unseen real faces", unseen))
    ]
    caption = (
        "Drawn face, nearest training image, its mirror image: the pairs that look most like copies. Score: "
        "the distance over that to the ten next training images; 0 is a copy, near 1 a face of its own."
    )
    blocks: list[Block] = [
        data["verdict"],
        Table(("what", "flagged as a copy", "95 % interval", "images"), rows),
        *evaluation.picture("picture", caption, title="The nearest pairs", min_width_pixels=640),
    ]
    if pairs:
        table = Table([readable(key) for key in pairs[0]], [tuple(pair.values()) for pair in pairs])
        blocks.append(Fold("The same pairs as numbers", [table]))
    honesty = {
        "flagged below a score of": data["threshold"],
        "set so that of unseen real faces": f"{percent(data['nominal_rate'])} are flagged",
    }
    headline = Headline(
        "look like copies",
        str(percent(data["share"])),
        "faces nearer to a training image than unseen people are",
        f"95 % interval {percent_interval(data)}",
        f"unseen real faces: {percent(unseen['share'])}",
    )
    return Told(
        [*blocks, evaluation.honesty(honesty)],
        [f"Copies of training images: {data['verdict']}"],
        [headline],
    )
