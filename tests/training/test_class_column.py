"""A class column that the data do not have: the only one they have is taken and told, or all are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tiny_dataset import write_dataset

from facegen.config.composition import compose
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.training.class_column import with_class_column
from facegen.training.train import train
from facegen.types import LabelSchema

SMALL = (
    "training.max_steps=1",
    "training.batch_size=4",
    "data.augmentation=null",
    "denoiser.base_channels=8",
)


def test_the_only_class_column_is_taken_told_and_kept_in_the_run(tmp_path: Path) -> None:
    data = f"data.path={write_dataset(tmp_path / 'faces').folder}"  # its only class column is age_group
    progress = SilentProgress()
    run = tmp_path / "run"
    recipe = compose("pixel-class-small", overrides=[data, *SMALL], size="smoke")
    train(recipe, run, progress=progress, device="cpu")
    (told,) = [line for line in progress.warned if "class column" in line]
    assert "'race'" in told
    assert "'age_group'" in told
    assert told.endswith("--set conditioner.column=age_group")
    kept = yaml.safe_load((run / "recipe.yaml").read_text("utf-8"))
    info = load_checkpoint(run).info
    assert kept["conditioner"]["column"] == info.recipe["conditioner"]["column"] == "age_group"
    assert load(run, "cpu").classes == ("young", "old")
    train(recipe, run, resume=True, device="cpu")  # the preset's own words go on with the run


@pytest.mark.parametrize(
    ("preset", "key"),
    [
        ("pixel-class", "conditioner.column"),
        ("class-classifier", "task.class_column"),
        ("vae-gan", "task.class_column"),
    ],
)
def test_of_several_class_columns_each_is_named_with_what_chooses_it(preset: str, key: str) -> None:
    labels = LabelSchema(classes={"mood": ("glad", "sad"), "breed": ("a", "b")})
    with pytest.raises(UsageError) as refused:
        with_class_column(compose(preset), labels, SilentProgress())
    lines = str(refused.value).splitlines()
    assert [line.strip() for line in lines[-2:]] == [f"--set {key}=mood", f"--set {key}=breed"]


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        ({"classes": {"race": ("a", "b"), "gender": ("f", "m")}}, "race"),  # it is there
        ({"attributes": ("race",), "classes": {"class": ("a", "b")}}, "race"),  # as an attribute
        ({"attributes": ("Smiling",)}, "race"),  # nothing to take: the conditioner says so
    ],
)
def test_a_column_that_is_there_stays(schema: dict[str, Any], column: str) -> None:
    progress = SilentProgress()
    recipe = with_class_column(compose("pixel-class"), LabelSchema(**schema), progress)
    assert recipe.conditioner is not None
    assert recipe.conditioner["column"] == column
    assert progress.warned == []
