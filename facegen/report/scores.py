"""Evaluations of closeness as parts of the page: distributions, sweeps, captions, reconstructions."""

from __future__ import annotations

from typing import Any

from facegen.report.facts import Evaluation
from facegen.report.html import Block, Facts, Fold, Table
from facegen.report.words import interval, number, percent, picture
from facegen.vocabulary.words import readable

SCORE_NAMES = {
    "fid": "FID",
    "fid_infinity": "FID, extrapolated to infinitely many",
    "kid": "KID",
    "inception_score": "Inception score",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
MEANINGS = {
    "fid": "FID and KID measure how far the features of drawn faces are from those of real ones: lower is "
    "better, and only the row of real faces says what is low.",
    "precision": "Precision is the share of drawn faces that look like real ones, recall the share of real "
    "faces that the model could have drawn.",
}
PROMPTS_SHOWN = 12


def scores_of(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """The rows of a distribution report by name."""
    return evaluation.data["scores"]


def distribution(evaluation: Evaluation) -> list[Block]:
    """All scores of one look at the faces, each beside real ones."""
    data, scores = evaluation.data, scores_of(evaluation)
    rows = [
        (
            SCORE_NAMES.get(name, readable(name)),
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
    told = " ".join(
        text for key, text in MEANINGS.items() if key in scores or (key == "fid" and "kid" in scores)
    )
    caption = (
        "Published: the value as papers give it. Estimate: without the bias of few images, with its "
        "interval. Real faces: held-out real ones judged in the place of drawn ones; nobody can be asked for "
        "better. After autoencoder: real faces encoded and decoded; a generator on those latents can hardly "
        "beat it."
    )
    blocks: list[Block] = [told] if told else []
    return [*blocks, Table(columns, rows, caption=caption), *data["remarks"], _distribution_facts(evaluation)]


def _distribution_facts(evaluation: Evaluation) -> Facts:
    data, marks = evaluation.data, evaluation.data["fingerprint"]
    floor, ceiling = data["floor"], data["ceiling"]
    of = dict.fromkeys(row["interval_of"] for row in data["scores"].values() if row.get("interval_of"))
    return honesty(
        evaluation,
        {
            "drawn faces": data["num_samples"],
            "real faces they are compared with": data["num_reference"],
            "real faces in their place": None
            if floor is None
            else f"{number(floor['num_samples'])}, {floor['method']}",
            "real faces after the autoencoder": None if ceiling is None else ceiling["num_samples"],
            "intervals are of": "; ".join(of) or None,
            "features": f"{data['features']}, {number(data['num_features'])} numbers",
            "network, layer, resize": marks.get("features"),
            "size": f"{marks.get('image_size')} pixels",
            "files": f"{marks.get('bits')} bits a channel, {marks.get('compression')}",
            "reference": f"{data['reference']}, split {data['split']}",
            "fingerprint of the reference": _short(marks.get("reference")),
        },
    )


def honesty(evaluation: Evaluation, values: dict[str, object]) -> Facts:
    """The card under a score: what is special to it, then how the faces were drawn and when."""
    settings = evaluation.data.get("settings") or {}
    sampler = settings.get("sampler")
    return Facts(
        {
            **values,
            "checkpoint": None if evaluation.step is None else f"step {evaluation.step:,}",
            "sampler": None
            if not isinstance(sampler, dict)
            else f"{sampler.get('kind')}, {settings.get('steps')} steps",
            "guidance": settings.get("guidance_scale"),
            "seed": settings.get("seed"),
            "report": evaluation.path.name,
        },
        "What it takes to read this",
    )


def _short(value: Any) -> str | None:
    return None if value is None else str(value)[:16]


def sweep(evaluation: Evaluation) -> list[Block]:
    """One row a value of the setting, and the picture of the trade-off."""
    data = evaluation.data
    reports, setting = data["reports"], data["setting"]
    names = list(reports[0]["scores"])
    rows = [
        (
            f"{value:g}",
            *(report["scores"].get(name, {}).get("value") for name in names),
            value in data["pareto"],
        )
        for value, report in zip(data["values"], reports, strict=True)
    ]
    columns = (setting, *(SCORE_NAMES.get(name, readable(name)) for name in names), "not beaten")
    caption = "Not beaten: no other value is better in both scores of the plot."
    return [
        *picture(evaluation.kept("plot"), "", alt=f"Trade-off over {setting}"),
        Table(columns, rows, caption=caption),
        honesty(
            evaluation,
            {
                "drawn faces for each value": reports[0]["num_samples"],
                "features": reports[0]["features"],
                "reference": f"{reports[0]['reference']}, split {reports[0]['split']}",
            },
        ),
    ]


def clip_score(evaluation: Evaluation) -> list[Block]:
    """Agreement of faces and captions, beside swapped captions and real faces."""
    data, real = evaluation.data, evaluation.data["real"]
    rows: list[tuple[object, ...]] = [("drawn faces", data["score"], interval(data), data["num_samples"])]
    if real is not None:
        rows.append(("the real faces of the captions", real["score"], interval(real), real["num_samples"]))
    if data["chance"] is not None:
        rows.append(("drawn faces, captions swapped", data["chance"], None, data["num_samples"]))
    prompts = [(row.get("prompt"), row.get("score"), row.get("num_samples")) for row in data["prompts"]]
    return [
        "100 times the cosine between what CLIP makes of picture and caption; what it is worth shows above "
        "the score with the captions swapped.",
        Table(("what", "CLIP score", "95 % interval", "images"), rows),
        *data["remarks"],
        Fold("The captions it fits worst", [Table(("caption", "score", "images"), prompts[:PROMPTS_SHOWN])]),
        honesty(evaluation, {"CLIP": data["clip"], "its fingerprint": _short(data["clip_fingerprint"])}),
    ]


def reconstruction(evaluation: Evaluation) -> list[Block]:
    """What an autoencoder loses, and the images that lose most."""
    data = evaluation.data
    rows = [
        (name, row["mean"], interval(row), row["worst_5_percent"])
        for name, row in (
            ("PSNR, dB (higher is better)", data["psnr"]),
            ("SSIM (higher is better)", data["ssim"]),
            (f"{data['distance_name']} (lower is better)", data["distance"]),
        )
        if row is not None
    ]
    blocks: list[Block] = [
        Table(
            ("fidelity", "mean", "95 % interval", "worst twentieth"),
            rows,
            caption="Worst twentieth: what the worst 5 % of images do not reach.",
        )
    ]
    if (frechet := data["frechet"]) is not None:
        rows = [("Fréchet distance", frechet["score"], interval(frechet), data["features"])]
        blocks.append(Table(("images against reconstructions", "score", "95 % interval", "features"), rows))
    caption = "The images that lost most, each beside its reconstruction."
    return [
        *blocks,
        *picture(evaluation.kept("picture"), caption, alt=caption, min_width=720),
        *data["remarks"],
        honesty(
            evaluation,
            {
                "images": data["num_samples"],
                "data": f"{data['dataset']}, split {data['split']}",
                "fingerprint of the data": _short(data["dataset_fingerprint"]),
                "size": f"{data['image_size']} pixels",
                "latents": " x ".join(map(str, data["latent_shape"])),
                "distance": data["distance_fingerprint"],
                "features": data["features_fingerprint"],
            },
        ),
    ]


def memorization(evaluation: Evaluation) -> list[Block]:
    """Whether faces are copies, with the nearest pairs as a picture."""
    data, unseen = evaluation.data, evaluation.data["held_out"]
    rows = [
        (name, percent(row["share"]), _percents(row), row["num_samples"])
        for name, row in (("drawn faces", data), ("unseen real faces", unseen))
    ]
    caption = (
        "Drawn face, nearest training image, its mirror image: the pairs that look most like copies. Score: "
        "the distance over that to the ten next training images; 0 is a copy, near 1 a face of its own."
    )
    pairs = [tuple(pair.values()) for pair in data["pairs"]]
    columns = tuple(readable(key) for key in data["pairs"][0]) if pairs else ()
    return [
        data["verdict"],
        Table(("what", "flagged as a copy", "95 % interval", "images"), rows),
        *picture(evaluation.kept("picture"), caption, alt=caption, title="The nearest pairs", min_width=640),
        *([Fold("The same pairs as numbers", [Table(columns, pairs)])] if pairs else []),
        honesty(
            evaluation,
            {
                "training images": data["num_train"],
                "drawn faces": data["num_samples"],
                "flagged below a score of": number(data["threshold"]),
                "set so that of unseen real faces": f"{percent(data['nominal_rate'])} are flagged",
                "features": data["features_fingerprint"],
                "training data": f"{data['train']} ({_short(data['train_fingerprint'])})",
            },
        ),
    ]


def _percents(row: dict[str, Any]) -> str:
    return f"{100 * row['low']:.1f}–{100 * row['high']:.1f} %"
