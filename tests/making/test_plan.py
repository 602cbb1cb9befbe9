"""A plan fits the time, says when that is too short, and asks the generator with what the labels tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facegen.errors import DataError, UsageError
from facegen.formats.plain import from_plain
from facegen.making.plan import MOST_EPOCHS, Plan, check_enough, make_plan
from facegen.making.probe import Preparation, Rates, Trained
from facegen.making.speed import Speed
from facegen.making.ways import AVATARS, LARGE, LONG, QUICK, Asked, asked_with, way_for
from facegen.types import LabelSchema

FACES = Preparation(seconds=20.0, num_faces=8000, asked=Asked("attributes"))
RATES = Rates(
    trained={
        "autoencoder": Trained(Speed(1, 10.0), 8, 6000, 3000.0),
        "classifier": Trained(Speed(1, 2.0), 64, 7500, 3000.0),
        "generator": Trained(Speed(1, 2.5), 32, 18000, 5000.0),
    },
    encoded=300.0,
    drawn=6.0,
    judged=400.0,
)


def plan_of(minutes: float, faces: Preparation = FACES, rates: Rates = RATES, **facts: Any) -> Plan:
    told: dict[str, Any] = {"command": {}, "kind": "celeba", "why": "it is", "way": QUICK, **facts}
    return make_plan(faces, rates, seconds_left=60 * minutes, num_scored=500, smoke=False, **told)


@pytest.mark.parametrize("minutes", [10, 30, 60, 240])
def test_the_stages_fill_the_time_and_no_more(minutes: float) -> None:
    plan = plan_of(minutes)
    total = sum(plan.seconds.values())
    assert total == pytest.approx(60 * minutes, rel=0.01)
    assert plan.seconds["generator"] > 0.25 * total
    for name, one in RATES.trained.items():
        assert one.seconds(plan.steps[name]) == pytest.approx(plan.seconds[name], rel=0.02)


def test_an_autoencoder_trains_no_longer_than_its_preset() -> None:
    assert plan_of(600).steps["autoencoder"] == 6000
    assert plan_of(30).steps["autoencoder"] < 6000


def test_few_faces_are_not_learned_by_heart_for_hours() -> None:
    plan = plan_of(600, replace(FACES, num_faces=100))
    assert plan.steps["generator"] == pytest.approx(MOST_EPOCHS * 100 / 32, rel=0.01)


def test_what_trains_compiled_is_told_and_stays_so() -> None:
    fast = replace(RATES.trained["generator"], speed=Speed(1, 4.0, compiled=True))
    plan = plan_of(60, rates=replace(RATES, trained={**RATES.trained, "generator": fast}))
    assert plan.compiled == ("generator",)
    assert "steps, compiled, to draw faces" in plan.about("generator")
    assert from_plain(Plan, plan.to_json(), Path("plan.json")) == plan
    without = {name: value for name, value in plan.to_json().items() if name != "compiled"}
    assert from_plain(Plan, without, Path("plan.json")).compiled == ()


def test_what_is_missing_has_no_stage() -> None:
    generator = {"generator": RATES.trained["generator"]}
    plan = plan_of(30, replace(FACES, asked=Asked("nothing")), replace(RATES, trained=generator))
    assert set(plan.seconds) == {"faces", "latents", "generator", "pictures", "scores"}


def test_too_few_faces_and_too_little_time_are_refused() -> None:
    with pytest.raises(DataError, match="49 faces are too few"):
        check_enough(49)
    check_enough(50)
    with pytest.raises(UsageError, match="--minutes") as refusal:
        plan_of(2)
    enough = float(str(refusal.value).split("--minutes ")[1].split()[0])
    plan_of(enough)


def test_a_plan_is_read_back_as_it_was_written() -> None:
    plan = plan_of(30)
    assert from_plain(Plan, plan.to_json(), __file__) == plan  # type: ignore[arg-type]


def test_the_way_fits_time_and_hardware() -> None:
    assert way_for("avatars", 8, on_gpu=True) is AVATARS
    assert way_for("celeba", 30, on_gpu=False) is QUICK
    assert way_for("celeba", 120, on_gpu=False) is LONG
    assert way_for("photos", 30, on_gpu=True) is LARGE


@pytest.mark.parametrize(
    ("labels", "counts", "asked"),
    [
        (LabelSchema(attributes=("A", "B")), {}, Asked("attributes")),
        (
            LabelSchema(attributes=("Male",), classes={"gender": ("M", "F"), "race": ("X", "Y", "Z")}),
            {"gender": {"M": 50, "F": 50}, "race": {"X": 40, "Y": 30, "Z": 30}},
            Asked("classes", "race"),
        ),
        (LabelSchema(classes={"class": ("only",)}), {"class": {"only": 80}}, Asked("nothing")),
        (LabelSchema(attributes=("Male",)), {}, Asked("attributes")),
        (LabelSchema(), {}, Asked("nothing")),
    ],
)
def test_what_the_labels_tell_is_asked_for(
    labels: LabelSchema, counts: dict[str, dict[str, int]], asked: Asked
) -> None:
    assert asked_with(labels, counts) == asked
