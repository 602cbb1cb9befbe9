"""The model card as the hub reads it, and what it says where the data are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.report_parts import write_evaluations, write_run

from facegen.formats.checkpoint import load_checkpoint, save_checkpoint
from facegen.formats.files import write_json
from facegen.report.licences import may_be_shown
from facegen.report.report import report


def test_the_hubs_own_reader_takes_the_card(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run)
    report(run)
    told: Any = ModelCard.load(run / "README.md").data
    assert (told.library_name, told.pipeline_tag) == ("facegen", "unconditional-image-generation")
    assert {one.metric_type for one in told.eval_results} >= {"fid", "accuracy", "memorization"}


def test_a_run_whose_data_are_elsewhere_tells_what_it_was_given_of_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    checkpoint = load_checkpoint(run)
    weights = checkpoint.weights()
    save_checkpoint(checkpoint.folder, checkpoint.info, {"ema": weights}, None)
    environment = json.loads((run / "environment.json").read_text())
    data = {"name": "drawn", "licence": "cc0-1.0", "counts": {"train": 640}}
    write_json(run / "environment.json", {**environment, "data": data})
    card = report(run).card
    assert card is not None
    assert "- Data: drawn\n- Images: train 640\n- Licence: cc0-1.0" in card.read_text()
    assert "with 12 parameters" in card.read_text()
    write_json(run / "environment.json", {**environment, "data": {"counts": "many"}})
    report(run)
    assert "- Licence: unknown: look it up" in card.read_text()


@pytest.mark.parametrize(
    ("licence", "shown"),
    [
        ("mit", True),
        ("CC-BY-4.0, cc0-1.0", True),
        ("Avataaars, free for personal and commercial use", True),
        ("cc-by-4.0, research only", False),
        ("CelebA, for non-commercial research only", False),
        (None, False),
    ],
)
def test_images_are_handed_on_where_the_terms_are_known_to_allow_it(licence: str | None, shown: bool) -> None:
    assert may_be_shown(licence) is shown
