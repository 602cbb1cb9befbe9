"""`facegen eval edit`: what came true, what leaked, and SDEdit where as much comes true."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.evaluation_parts import train_judge, write_shapes
from support.generator_parts import save_run, tiny_recipe
from support.known import known
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, UsageError
from facegen.evaluation.edit import EditReport, evaluate_edit
from facegen.evaluation.edit_faces import faces_to_switch, switching_requests
from facegen.evaluation.edit_matrix import EDIT, SDEDIT, Looks, beside_sdedit, edit_row
from facegen.evaluation.options import EditEvaluationOptions
from facegen.sampling.records import open_records


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("edit")
    dataset = write_shapes(folder / "shapes", {"train": 128, "validation": 40})
    return SimpleNamespace(data=dataset, judge=train_judge(dataset, folder / "judge"), run=save_run(folder))


def evaluated(place: SimpleNamespace, **changes) -> EditReport:
    options = {
        "num_samples": 8, "attributes": ("Smiling", "Male"), "data": place.data.folder, "device": "cpu",
        "strength": (0.5, 1.0), "sdedit": (0.5, 1.0), "batch_size": 3, "grid_faces": 2, **changes,
    }  # fmt: skip
    return evaluate_edit(place.run, place.judge, EditEvaluationOptions(**options))


def looks(seen: list[list[int]], pixels: float = 1.0) -> Looks:
    return Looks([torch.tensor(seen).bool()], [torch.full((len(seen),), pixels)])


def test_every_attribute_is_switched_at_every_strength_by_both_methods(place):
    report = evaluated(place)
    assert [(row["attribute"], row["method"], row["strength"]) for row in report.rows] == [
        (name, method, strength)
        for name in ("Smiling", "Male")
        for method in (EDIT, SDEDIT)
        for strength in (0.5, 1.0)
    ]
    assert report.psnr == {"autoencoder": None, "nothing": None, "nothing_finished": None}, "no loss at all"
    assert report.reconstructed["pixels"] == 0
    assert known(report.reconstructed["leakage"])["share"] == 0
    smiling = report.rows[:4]
    assert 0 < smiling[0]["pixels"] < smiling[1]["pixels"]
    assert all(row["num_faces"] > 4 and row["distance"] is not None for row in report.rows)
    saved = json.loads(known(report.saved_to).read_text())
    assert (saved["metric"], saved["format_version"]) == ("edit", 1)
    with Image.open(known(report.grid)) as grid:
        assert grid.width == 6 * 98 + 2, "photo, autoencoder, two edits, two by SDEdit"


def test_what_came_true_counts_where_it_could_and_leakage_where_the_same_was_asked():
    plain = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    after = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0, 0]]
    wanted = np.array([True] * 4)
    same = np.array([[False, True, True]] * 3 + [[False, True, False]])
    row = edit_row("Smiling", EDIT, 1.0, 0, wanted, same, plain, looks(after, 2.5))
    assert row["num_faces"] == 3, "the third was seen smiling already"
    assert known(row["hit"])["share"] == pytest.approx(2 / 3)
    assert known(row["leakage"])["share"] == pytest.approx(3 / 7), "of eight cells one was not asked the same"
    assert row["pixels"] == 2.5
    nobody = edit_row("Smiling", EDIT, 1.0, 0, ~wanted, same, np.zeros((4, 3), bool), looks(after))
    assert (nobody["hit"], nobody["num_faces"]) == (None, 0)


def test_sdedit_is_read_where_as_much_comes_true():
    def row(method: str, strength: float, hits: int, pixels: float):
        plain, same = np.zeros((10, 2), bool), np.ones((10, 2), bool)
        seen = [[int(i < hits), int(i < hits / 2)] for i in range(10)]
        return edit_row("Smiling", method, strength, 0, plain[:, 0] | True, same, plain, looks(seen, pixels))

    rows = beside_sdedit(
        [row(EDIT, 0.8, 5, 3.0), row(EDIT, 1.0, 9, 6.0), row(SDEDIT, 0.3, 2, 10.0), row(SDEDIT, 0.6, 8, 40.0)]
    )
    beside = known(rows[0]["same_success"])
    assert beside["strength"] == pytest.approx(0.45)
    assert beside["pixels"] == pytest.approx(25)
    assert beside["leakage"] == pytest.approx((0.1 + 0.4) / 2)
    assert beside["distance"] is None
    assert [row["same_success"] for row in rows[1:]] == [None, None, None], "out of reach, or SDEdit itself"


def test_half_of_the_faces_have_what_is_switched(place):
    records = open_records(place.data.folder, "validation")
    numbers = faces_to_switch(records, "Smiling", 10, 0)
    assert records.frame["Smiling"].iloc[numbers].sum() == 5
    everyone = faces_to_switch(records, "Eyeglasses", 1000, 0)
    assert everyone == list(range(40))
    told, asked = switching_requests(records, ("Smiling", "Male"), "Smiling", numbers)
    assert all(set(one) == {"Smiling", "Male"} for one in told)
    assert all(one["Smiling"] == -other["Smiling"] for one, other in zip(told, asked, strict=True))
    assert all(one["Male"] == other["Male"] for one, other in zip(told, asked, strict=True))


def test_what_cannot_be_judged_is_refused(place, tmp_path: Path):
    with pytest.raises(UsageError, match=r"run cannot be asked for 'Smilng'.* Did you mean 'Smiling'"):
        evaluated(place, attributes=("Smilng",))
    with pytest.raises(UsageError, match="run's data"):
        evaluated(place, data=None)
    with pytest.raises(DataError, match="neither a prepared data set"):
        evaluated(place, data=tmp_path)
    by_class = save_run(
        tmp_path, tiny_recipe(conditioner={"kind": "class_label", "column": "age", "dim": 32})
    )
    options = EditEvaluationOptions(data=place.data.folder, device="cpu")
    with pytest.raises(UsageError, match="switches attributes"):
        evaluate_edit(by_class, place.judge, options)


def test_the_command_prints_both_tables(place):
    line = [
        "eval",
        "edit",
        str(place.run),
        "--classifier",
        str(place.judge),
        "--data",
        str(place.data.folder),
    ]
    given = [
        "--attributes",
        "Smiling",
        "--num-samples",
        "4",
        "--strength",
        "1",
        "--sdedit",
        "0.5,1",
        "--quiet",
    ]
    done = CliRunner().invoke(app, [*line, *given, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "What becomes of a photo?" in done.stdout
    assert "the picture is the photo itself" in done.stdout
    assert "4 faces an attribute say little" in done.stdout
