"""The demo's page: what was asked for, what came out, how sure the scores are, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.formats.run import RunDirectory, describe_environment
from facegen.report.charts import Interval, interval_chart, line_chart, read_series
from facegen.report.html import Chart, Commands, Figure, Headline, Report, Section, Table, write_report

if TYPE_CHECKING:
    from facegen.demo.folders import DemoFolders
    from facegen.evaluation.attributes import AttributeReport
    from facegen.evaluation.distribution import DistributionReport

SUMMARY = (
    "This page was made on this machine, without any download. facegen rendered cartoon faces whose every "
    "label is known, trained an autoencoder, a classifier and a conditional generator on them, drew faces "
    "for the words below, and counted how often they came true."
)
LICENCE = (
    "The training pictures are drawn in the style Avataaars by Pablo Stanley (https://avataaars.com), "
    "free for personal and commercial use."
)


def write_demo_report(
    folders: DemoFolders, attributes: AttributeReport, fid: DistributionReport, seconds: dict[str, float]
) -> Path:
    """Write `OUT/report.html` and return its path."""
    recipe = RunDirectory(folders.run).recipe()
    report = Report(
        title="Faces from words: the facegen demo",
        summary=SUMMARY,
        headlines=_headlines(attributes, fid, seconds),
        sections=[
            Section("Asked for, and drawn", [_faces(folders), _switches(folders)]),
            Section("Did it do what was asked?", _agreement(attributes)),
            Section("How close to the real pictures?", _closeness(fid)),
            Section("How it learned", _curves(folders, seconds)),
        ],
        settings={
            "generator": recipe.denoiser,
            "diffusion": recipe.diffusion.model_dump(mode="json"),
            "optimizer": recipe.optimizer.model_dump(mode="json"),
            "training": recipe.training.model_dump(mode="json"),
            "sampling": recipe.sampling.model_dump(mode="json"),
        },
        environment=describe_environment(),
        next_steps=_next_steps(folders),
        footer=LICENCE,
    )
    return write_report(report, folders.out / "report.html")


def _headlines(
    attributes: AttributeReport, fid: DistributionReport, seconds: dict[str, float]
) -> list[Headline]:
    floor = fid.main.floor
    return [
        Headline(
            "of everything asked for came true",
            _percent(attributes.share_all),
            "attributes asked to be there or not to be there, over random requests",
            _interval(attributes.generated["all"]),
        ),
        Headline(
            "of what was asked to be there is there",
            _percent(attributes.share_present),
            "the harder half: hair, hats, glasses and beards that must appear",
            _interval(attributes.generated["present"]),
        ),
        Headline(
            "right, on real pictures",
            _percent(attributes.classifier_accuracy),
            "how good the judge itself is: the classifier on pictures it never saw",
        ),
        Headline(
            "Fréchet distance",
            f"{fid.score:.3g}",
            "to the real pictures, in that classifier's features; lower is better",
            f"real against real: {floor:.3g}" if floor is not None else "",
        ),
        Headline("minutes", f"{sum(seconds.values()) / 60:.1f}", "from nothing to this page"),
    ]


def _faces(folders: DemoFolders) -> Figure:
    return Figure(
        folders.out / "faces.png",
        "Each column was asked for with the words below it; every picture started from other noise. "
        "Nothing was picked out.",
        alt="Grid of generated cartoon faces, one column per prompt",
    )


def _switches(folders: DemoFolders) -> Figure:
    return Figure(
        folders.out / "switches.png",
        "One wish changed, the noise unchanged: what differs from the first column is what the wish does.",
        title="One thing changed at a time",
        alt="Rows of the same face with glasses, a smile, a beard and so on switched on",
    )


def _agreement(attributes: AttributeReport) -> list[Any]:
    rows = []
    for name, row in attributes.attributes.items():
        yes, no = row["asked_yes"], row["asked_no"]
        rows.append(
            (
                name.replace("_", " "),
                yes["num_asked"],
                _percent(yes["hit_rate"]),
                _percent(no["hit_rate"]),
                _percent(row["classifier_accuracy"]),
                _percent(row["accuracy_on_reconstructions"]),
            )
        )
    bars = [
        Interval(
            name.replace("_", " "), row["asked_yes"]["hit_rate"], reference=row["accuracy_on_reconstructions"]
        )
        for name, row in attributes.attributes.items()
        if row["asked_yes"]["hit_rate"] is not None
    ]
    blocks: list[Any] = [
        f"{attributes.num_samples:,} faces were drawn for the labels of pictures the generator never saw, "
        "and the classifier was asked what it sees. Read each number beside the judge's own: what the "
        "classifier gets wrong on real pictures, the generator cannot get right."
    ]
    if bars:
        chart = interval_chart(
            bars, reference_label="judge, after the autoencoder", alt="Hit rate per attribute"
        )
        blocks.append(Chart(chart, "How often an attribute asked for is there.", "By attribute"))
    columns = ("attribute", "asked for", "is there", "kept away", "judge on real", "judge after autoencoder")
    blocks.append(Table(columns, rows, caption="Shares of the times each was asked for, or asked away."))
    return blocks


def _closeness(fid: DistributionReport) -> list[Any]:
    row = fid.main
    rows: list[tuple[str, object, object]] = [("generated", row.value, fid.num_samples)]
    if fid.floor and row.floor is not None:
        rows.append((f"real, {fid.floor['method']}", row.floor, fid.floor["num_samples"]))
    if fid.ceiling and row.ceiling is not None:
        rows.append(("real, after the autoencoder", row.ceiling, fid.ceiling["num_samples"]))
    return [
        "The Fréchet distance compares means and covariances of features. Its size depends on the "
        "network and on the number of pictures, so it is only worth something beside what real pictures "
        "score.",
        Table(("pictures", "Fréchet distance", "number"), rows, caption=f"Features: {fid.features}."),
        *fid.remarks,
    ]


def _curves(folders: DemoFolders, seconds: dict[str, float]) -> list[Any]:
    metrics = folders.run / "metrics.jsonl"
    training = read_series(metrics, "train", "loss", "training")
    held_out = read_series(metrics, "validation", "loss", "held-out")
    floor = read_series(metrics, "validation", "trivial_loss", "trivial predictor")
    dashed = type(floor)(floor.name, floor.x, floor.y, reference=True)
    blocks: list[Any] = [
        Chart(
            line_chart([training, held_out, dashed], y_label="loss", alt="Training and held-out loss"),
            "Squared error of the generator. The dashed line is what predicting without looking would score.",
            "Loss",
        ),
        Table(("stage", "seconds"), list(seconds.items()), "Where the time went"),
    ]
    return blocks


def _next_steps(folders: DemoFolders) -> list[Any]:
    return [
        "Ask for something else, more faithfully, or train on your own faces:",
        Commands(
            [
                f'facegen sample {folders.run} --prompt "a bald person with sunglasses, smiling" --count 16',
                f'facegen sample {folders.run} --attributes "Red_Hair=1,Beard=1" --guidance 3',
                "facegen prepare image-folder YOUR_FACES --out data/mine --size 64",
            ]
        ),
        "Train longer: all that --minutes adds goes to the generator.",
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _interval(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return ""
    return f"95 % interval {100 * share['low']:.1f} to {100 * share['high']:.1f} %"
