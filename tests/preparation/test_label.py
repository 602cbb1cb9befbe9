from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.config.composition import compose
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.models.classifier import load_classifier
from facegen.preparation import label as label_workflow
from facegen.preparation.label import LabelOptions, label
from facegen.progress import SilentProgress
from facegen.training.train import train
from facegen.types import LabelSchema

TONES = ("blue", "green", "red")
SIZE = 16


def write_tones(folder: Path, counts: dict[str, int], *, faint: int = 0, seed: int = 0) -> Dataset:
    """Pictures with one colour channel brighter; the first `faint` of each split have none."""
    generator = torch.Generator().manual_seed(seed)
    schema = LabelSchema(attributes=("Odd",), classes={"tone": TONES})
    writer = DatasetWriter(folder, schema, {}, {"size": SIZE})
    for split, count in counts.items():
        rows = []
        for index in range(count):
            image = torch.randint(0, 120, (3, SIZE, SIZE), generator=generator)
            if index >= faint:
                image[2 - index % 3] += 90
            png = encode_png(image.to(torch.uint8))
            tone = TONES[index % 3] if index >= faint else None
            rows.append(
                {
                    "image": png,
                    "id": f"{split}-{index:03d}",
                    "split": split,
                    "caption": "a tone",
                    "captions": ["a tone"],
                    "identity": str(index // 2),
                    "sha256": sha256_of(png),
                    "Odd": bool(index % 2),
                    "tone": tone,
                }
            )
        writer.write_split(split, rows, count, 1000)
    writer.finish(rejects=[], kind="image-folder", image_size=SIZE, source={"name": "tones", "licence": None})
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def tone_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of `tone`, good after a few seconds, from the preset."""
    root = tmp_path_factory.mktemp("tones")
    data = write_tones(root / "data", {"train": 240, "validation": 60}, seed=7).folder
    overrides = [
        f"data.path={data}",
        "task.class_column=tone",
        "task.widths=[8, 16]",
        "training.max_steps=60",
        "training.batch_size=32",
        "optimizer.warmup_steps=1",
    ]
    train(compose("class-classifier", overrides=overrides), root / "run", resume=False, device="cpu")
    return root / "run"


def rejects_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejects.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_class_classifier_labels_what_it_is_sure_of_and_lists_the_rest(
    tone_judge: Path, tmp_path: Path
) -> None:
    source = write_tones(tmp_path / "source", {"train": 30, "test": 12}, faint=6)
    judge = load_classifier(tone_judge, torch.device("cpu"))
    probabilities = judge.probabilities(source.split("train").images(range(30)))
    threshold = float(probabilities.amax(1).median())
    sure = (probabilities.amax(1) >= threshold).tolist()
    assert 0 < sum(sure) < 30
    summary = label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=threshold))
    dataset = Dataset.open(tmp_path / "out")
    dataset.verify()
    frame = dataset.split("train").frame
    ids = source.split("train").frame["id"]
    assert frame["id"].tolist() == ids[sure].tolist()
    assert frame["tone"].tolist() == [
        TONES[row.argmax()] for row, kept in zip(probabilities, sure, strict=True) if kept
    ]
    expected = [round(float(row.max()), 4) for row, kept in zip(probabilities, sure, strict=True) if kept]
    assert frame["tone_confidence"].tolist() == pytest.approx(expected, abs=2e-4)
    listed = rejects_of(tmp_path / "out")
    assert {row["id"] for row in listed if row["id"].startswith("train")} == set(ids[[not x for x in sure]])
    assert all(row["reason"].startswith("low confidence: ") for row in listed)
    assert summary.left_out == len(listed)
    assert sum(row.given for row in summary.labels) + summary.left_out == 42
    assert all(row.agreement > 0.9 for row in summary.labels if row.agreement is not None)


def test_the_data_set_says_whose_opinion_its_labels_are(tone_judge: Path, tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", {"train": 12})
    label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=0.5))
    manifest = Dataset.open(tmp_path / "out").manifest
    told = json.loads((tmp_path / "out" / "dataset.json").read_text())["source"]["labelled_by"]
    judge = load_classifier(tone_judge, torch.device("cpu"))
    assert told["weights_sha256"] == judge.fingerprint
    assert told["labels"] == ["tone"]
    assert manifest.source["name"] == "tones"
    assert "a model's opinion, not facts" in manifest.notes[-1]
    assert manifest.fingerprint != source.manifest.fingerprint
    assert manifest.transform != source.manifest.transform  # no prepared data set of the same settings


def test_other_labels_stay_and_captions_are_written_anew(tone_judge: Path, tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", {"train": 12})
    label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=0.5))
    frame = Dataset.open(tmp_path / "out").split("train").frame
    old = source.split("train").frame.set_index("id").loc[frame["id"]]
    assert frame["Odd"].tolist() == old["Odd"].tolist()
    assert frame["identity"].tolist() == old["identity"].tolist()
    for caption, tone in zip(frame["caption"], frame["tone"], strict=True):
        assert tone in caption


def test_attributes_below_the_confidence_stay_unknown(tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "data", {"train": 192, "validation": 32, "test": 24})
    run = train_judge(data, tmp_path / "run")
    judge = load_classifier(run, torch.device("cpu"))
    name = judge.attributes[0]
    probabilities = judge.probabilities(data.split("test").images(range(24)))[:, 0]
    confidence = torch.maximum(probabilities, 1 - probabilities)
    threshold = float(confidence.median())
    options = LabelOptions(min_confidence=threshold, attributes=(name,))
    summary = label(data.folder, run, tmp_path / "out", options)
    frame = Dataset.open(tmp_path / "out").split("test").frame
    assert len(frame) == 24
    assert 0 < frame[name].isna().sum() < 24
    assert frame[name].isna().tolist() == (confidence < threshold).tolist()
    known = frame[name].notna()
    assert frame[name][known].tolist() == (probabilities > 0.5).long()[torch.tensor(known.tolist())].tolist()
    (row,) = summary.labels
    assert row.given + row.unsure == 248
    assert row.agreement is not None
    assert row.agreement > 0.95
    other = judge.attributes[1]
    assert frame[other].tolist() == data.split("test").frame[other].tolist()


def test_what_does_not_fit_is_refused_before_any_work(tone_judge: Path, tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", {"train": 6})
    with pytest.raises(UsageError, match="this one tells 'tone'"):
        label(source.folder, tone_judge, tmp_path / "out", LabelOptions(attributes=("Odd",)))
    with pytest.raises(DataError, match="nowhere as sure"):
        label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=1.0))
    with pytest.raises(UsageError, match="exists already"):
        label(source.folder, tone_judge, source.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_failure_while_writing_leaves_no_data_set(
    tone_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tones(tmp_path / "source", {"train": 12})

    def failing(*_: object, **__: object) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(label_workflow, "captions_for", failing)
        with pytest.raises(KeyboardInterrupt):
            label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=0.5))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob(".out.partial/dataset"))
    assert label(source.folder, tone_judge, tmp_path / "out", LabelOptions(min_confidence=0.5)).counts


def test_repeated_it_leaves_what_it_made_and_refuses_what_it_would_make_otherwise(
    tone_judge: Path, tmp_path: Path
) -> None:
    source, out = write_tones(tmp_path / "source", {"train": 12}), tmp_path / "out"
    first = label(source.folder, tone_judge, out, LabelOptions(min_confidence=0.5))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.*")}
    progress = SilentProgress()
    again = label(source.folder, tone_judge, out, LabelOptions(min_confidence=0.5), progress)
    assert progress.said == [f"'{out}' holds these labels already."]
    assert replace(again, seconds=0) == replace(first, seconds=0)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.*")} == before
    with pytest.raises(UsageError, match="exists already"):
        label(source.folder, tone_judge, out, LabelOptions(min_confidence=0.6))
    other = write_tones(tmp_path / "other", {"train": 14})
    with pytest.raises(UsageError, match="another state"):
        label(other.folder, tone_judge, out, LabelOptions(min_confidence=0.5))
    assert not list(tmp_path.glob(".out*"))


def test_the_command_prints_a_table_or_json(tone_judge: Path, tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", {"train": 12})
    words = ["label", str(source.folder), "--classifier", str(tone_judge), "--min-confidence", "0.5", "-q"]
    shown = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "a")])
    assert shown.exit_code == 0, shown.output
    assert "Classes: tone" in shown.output
    assert "a model's opinion" in shown.output
    told = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "b"), "--json"])
    assert json.loads(told.stdout)["class_column"] == "tone"
