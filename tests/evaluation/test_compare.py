"""Every kind of report compares, and two drawings of the same requests and seeds far more surely."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes
from support.generator_parts import save_run
from support.known import known

from facegen.config.kinds import KindConfig
from facegen.errors import DataError, UsageError
from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.compare import compare
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.edit import EditReport, evaluate_edit
from facegen.evaluation.memorization import evaluate_memorization
from facegen.evaluation.metric import evaluate_metric
from facegen.evaluation.options import (
    AttributeOptions,
    DistributionOptions,
    EditEvaluationOptions,
    MemorizationOptions,
    MetricOptions,
    ReconstructionOptions,
    Selection,
    SubgroupOptions,
)
from facegen.evaluation.reconstruction import evaluate_reconstruction
from facegen.evaluation.subgroups import evaluate_subgroups
from facegen.formats.files import read_json, write_json

COUNT = 64


class Redness:
    """A metric of one's own, which knows its interval and which way is better."""

    class Config(KindConfig, frozen=True):
        pass

    def __init__(self) -> None:
        self.red: list[float] = []

    @staticmethod
    def build(config: Any, **wired: Any) -> Redness:
        return Redness()

    def update(self, images: torch.Tensor, records: Any) -> None:
        self.red += images[:, 0].float().mean((1, 2)).tolist()

    def compute(self) -> dict[str, Any]:
        values = torch.tensor(self.red)
        mean, reach = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
        told = {"value": mean, "low": mean - reach, "high": mean + reach, "better": "higher"}
        return {"red": told, "brightest": max(self.red)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEN_CACHE", str(folder / "cache"))
        data = write_shapes(folder / "shapes", {"train": 128, "validation": 100})
        judge = train_judge(data, folder / "judge")
        yield SimpleNamespace(data=data.folder, judge=judge, run=save_run(folder), folder=folder)


def drawn(place: SimpleNamespace, **changes) -> Path:
    options = DistributionOptions(features=f"classifier:{place.judge}", num_samples=COUNT, device="cpu")
    return known(evaluate(place.run, place.data, None, replace(options, **changes)).saved_to)


def reports(place: SimpleNamespace) -> dict[str, Path]:
    """One of each kind, kept."""
    selection = Selection(num_samples=COUNT, data=place.data, split="train")
    made = (
        evaluate_attributes(place.run, place.judge, AttributeOptions(num_samples=COUNT, data=place.data)),
        evaluate_reconstruction(
            "identity", place.data, ReconstructionOptions(out=place.folder / "reconstruction.json")
        ),
        evaluate_memorization(
            place.run, place.data, MemorizationOptions(nominal_rate=0.1, selection=selection, device="cpu")
        ),
        evaluate_subgroups(
            place.run,
            place.judge,
            place.data,
            SubgroupOptions(selection=replace(selection, split="validation"), small_below=16, device="cpu"),
        ),
        edited(place),
        evaluate_metric(
            place.run,
            f"{__name__}:Redness",
            MetricOptions(num_samples=COUNT, reference=place.data, device="cpu"),
        ),
    )
    return {report.metric: known(report.saved_to) for report in made}


def test_every_kind_of_report_has_scores_that_compare(place) -> None:
    for kind, path in {**reports(place), "all": drawn(place)}.items():
        data = read_json(path, 1)
        assert data["scores"], kind
        for name, row in data["scores"].items():
            assert row["low"] is None or row["low"] <= row["estimate"] <= row["high"], (kind, name)
        found = compare(path, path)
        assert {one.score for one in found.scores} == data["scores"].keys(), kind
        assert {one.verdict for one in found.scores} == {"no difference shown"}, kind
        other = {**data, "fingerprint": {**data["fingerprint"], "image_size": 7}}
        write_json(place.folder / f"{kind.rpartition(':')[2]}-other.json", other)
        with pytest.raises(UsageError, match=r"image size: \d+ and 7"):
            compare(path, place.folder / f"{kind.rpartition(':')[2]}-other.json")


def edited(place: SimpleNamespace, **changes) -> EditReport:
    options = EditEvaluationOptions(
        attributes=("Smiling", "Male"), num_samples=16, strength=(1.0,), sdedit=(0.5,), data=place.data,
        split="validation", grid_faces=0, device="cpu",
    )  # fmt: skip
    return evaluate_edit(place.run, place.judge, replace(options, **changes))


def test_edits_of_the_same_photos_compare_photo_by_photo(place) -> None:
    one, two = edited(place, steps=3), edited(place)
    assert {"hit at 1", "leakage at 1", "pixels at 1", "distance at 1", "hit Male at 1"} <= {*one.scores}
    row = next(row for row in one.rows if (row["attribute"], row["method"]) == ("Male", "edit"))
    assert one.scores["hit Male at 1"].value == known(row["hit"])["share"]
    assert one.scores["pixels at 1"].ceiling == one.reconstructed["pixels"]
    paired = {row.score: row for row in compare(known(one.saved_to), known(two.saved_to)).scores}
    assert all(row.shared == ("images",) for row in paired.values())
    others = edited(place, seed=1)
    apart = {row.score: row for row in compare(known(one.saved_to), known(others.saved_to)).scores}
    assert all(row.shared == () for row in apart.values())
    widths = [known(rows["pixels at 1"].high) - known(rows["pixels at 1"].low) for rows in (paired, apart)]
    assert widths[0] < widths[1]
    fewer = edited(place, attributes=("Male",), steps=3)
    found = compare(known(one.saved_to), known(fewer.saved_to))
    assert {row.score for row in found.scores} == {"hit Male at 1", "leakage Male at 1"}
    assert "attributes that were switched" in found.left_out["hit at 1"]


def test_the_same_requests_and_seeds_make_a_narrower_interval(place, tmp_path: Path) -> None:
    one, two, other = drawn(place, steps=3), drawn(place, steps=4), drawn(place, steps=4, seed=1000)
    paired = {row.score: row for row in compare(one, two).scores}
    assert paired["kid"].shared == ("images", "reference")
    apart = {row.score: row for row in compare(one, other).scores}
    assert apart["kid"].shared == ("reference",)
    for path in (one, two):
        (tmp_path / path.name).write_text(path.read_text())
    alone = {row.score: row for row in compare(tmp_path / one.name, tmp_path / two.name).scores}
    assert alone["kid"].shared == ()
    widths = [known(rows["kid"].high) - known(rows["kid"].low) for rows in (paired, apart, alone)]
    assert widths[0] < 0.7 * widths[1] < 0.7 * widths[2] * 1.01


def test_a_checkpoint_means_the_runs_reports_of_its_step(place) -> None:
    path = drawn(place, steps=2)
    step = json.loads(path.read_text())["settings"]["checkpoint_step"]
    (checkpoint,) = (place.run / "checkpoints").glob(f"step-*{step}")
    assert compare(checkpoint, path).a == str(path)
    nowhere = place.run / "checkpoints" / f"step-{step + 1:08}"
    nowhere.mkdir()
    with pytest.raises(DataError, match="holds no report"):
        compare(nowhere, path)
    nowhere.rmdir()
