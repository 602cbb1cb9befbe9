"""The classifier's task on a class column: targets, scores, and the old behaviour beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from support.draws import draws_of

from facegen.config.composition import compose
from facegen.config.kinds import kind_config
from facegen.errors import DataError, UsageError
from facegen.tasks.attribute_classification import (
    AttributeClassification,
    class_scores,
    class_targets,
    class_verdict,
    classified_labels,
)
from facegen.types import LabelSchema

NAMES = ("Asian", "Black", "White")
LABELS = LabelSchema(attributes=("Male",), classes={"race": NAMES, "one": ("only",)})


class Images:
    """A split held in memory: one colour channel brighter for each class."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randint(0, 3, (count,), generator=generator)
        images = torch.randint(0, 120, (count, 3, 32, 32), generator=generator)
        images[torch.arange(count), classes] += 80
        self._images = images.to(torch.uint8)
        self.frame = pd.DataFrame({"race": [NAMES[number] for number in classes.tolist()]})

    def images(self, indices: Any, *, keep: bool = False) -> torch.Tensor:
        return self._images[indices]


def config_of(**settings: Any) -> Any:
    return kind_config("tasks", {"kind": "attribute_classification", "widths": [8, 16], **settings})


def task_of(train: Any, validation: Any) -> AttributeClassification:
    config = config_of(class_column="race")
    return AttributeClassification(config, labels=LABELS, image_size=32, train=train, validation=validation)


def test_the_network_learns_visible_classes_and_the_scores_say_so() -> None:
    torch.manual_seed(0)
    task = task_of(Images(192, 0), Images(64, 1))
    module = task.build_module()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    before = task.validate(module, "cpu")
    for step in range(40):
        generator = torch.Generator().manual_seed(step)
        batch = task.batch(torch.randperm(192, generator=generator)[:32], draws_of(32, step))
        optimizer.zero_grad()
        task.losses(module, batch)["loss"].backward()
        optimizer.step()
    after = task.validate(module, "cpu")
    assert after["accuracy"] > 0.95 > before["accuracy"]
    assert after["loss"] < 0.5 * before["loss"]
    assert after["better_than_trivial"]
    assert "'race' right on" in after["verdict"]
    assert set(after["classes"]) == set(NAMES)


def test_targets_are_one_against_the_rest_and_unknown_where_unknown() -> None:
    targets = class_targets(["White", None, "Asian"], NAMES)
    assert targets[0].tolist() == [0, 0, 1]
    assert torch.isnan(targets[1]).all()
    assert targets[2].tolist() == [1, 0, 0]


def test_scores_of_a_known_confusion() -> None:
    targets = class_targets(["Asian", "Asian", "Asian", "White", None], NAMES)
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [-3, -2, -1], [9, 9, 9]])
    scores = class_scores(logits, targets, NAMES)
    assert scores["accuracy"] == pytest.approx(3 / 4)  # the last image's class is unknown
    assert scores["majority"] == pytest.approx(3 / 4)
    assert scores["classes"]["Asian"]["recall"] == pytest.approx(2 / 3)
    assert scores["classes"]["Black"]["recall"] is None
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert class_verdict(scores, "race", 5).startswith("No better than always the commonest class")


def test_what_cannot_be_classified_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'rase'.*Did you mean 'race'\?\nIts class columns: race, one"):
        classified_labels(config_of(class_column="rase"), LABELS)
    with pytest.raises(UsageError, match="exclude each other"):
        classified_labels(config_of(class_column="race", attributes=["Male"]), LABELS)
    with pytest.raises(DataError, match="single class"):
        classified_labels(config_of(class_column="one"), LABELS)
    nothing = Images(4, 0)
    nothing.frame["race"] = None
    with pytest.raises(DataError, match="Every class is unknown"):
        task_of(nothing, nothing)
    assert classified_labels(config_of(), LABELS) == ("Male",)


def test_the_preset_takes_its_column_from_the_command_line() -> None:
    recipe = compose("class-classifier", overrides=["task.class_column=race"])
    assert recipe.section("task").class_column == "race"
    assert classified_labels(recipe.section("task"), LABELS) == NAMES
