"""`facegen plot curves`: smoothing against pandas, numbers as logged, phases, torn logs, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.figure_parts import numbers_of

from facegen.config.composition import compose
from facegen.errors import DataError, UsageError
from facegen.formats.run import RunDirectory
from facegen.plotting.curves import phases_of, plot_curves, read_runs, smoothed

LEVELS = [0.25, 0.75]


def write_run(folder: Path, recipe=None, *, offset: float = 0.0, steps: int = 6) -> Path:
    """A run that logged `steps` training losses, every tenth step, and two validations."""
    folder.mkdir(parents=True)
    run = RunDirectory(folder)
    run.start(recipe or compose("celeba-attributes"))
    for number in range(1, steps + 1):
        step = 10 * number
        row = {"loss": offset + 1 / number, "lr": 0.1, "grad_norm": float(number), "images_seen": step}
        run.append_metrics({"step": step, "group": "train", **row})
        if number % 3 == 0:
            scores = {"loss": offset + 2 / number, "trivial_loss": 3.0, "better_than_trivial": True}
            by_level = {
                "noise_levels": LEVELS,
                "loss_per_level": [0.5 / number, 0.7 / number],
                "zero_predictor_per_level": [1.0, 1.0],
                "mean_predictor_per_level": [1.5, 0.5],
            }
            held_out = {**scores, "verdict": "good", **by_level, "attributes": {"Smiling": {"auc": 0.9}}}
            run.append_metrics({"step": step, "group": "validation", **held_out})
    return folder


def test_smoothing_is_pandas_exponential_moving_average_over_uneven_steps():
    steps = np.array([1, 2, 5, 9, 30, 31])
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    halflife = pd.Timedelta(round(7e9 * np.log(2)), "ns")
    times = pd.Series(pd.to_datetime(steps, unit="s"))
    expected = pd.Series(values).ewm(halflife=halflife, times=times).mean()  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(smoothed(steps, values, 7.0), expected, rtol=1e-6)


def test_smoothing_passes_over_what_is_not_a_number():
    result = smoothed(np.array([1, 2, 3]), np.array([2.0, np.nan, 2.0]), 1.0)
    np.testing.assert_allclose(result, 2.0)


def test_the_csv_holds_the_numbers_that_were_logged(tmp_path: Path):
    run = write_run(tmp_path / "run")
    table = numbers_of(plot_curves([run], tmp_path / "out.png", csv=True))
    assert list(table.columns) == ["run", "series", "step", "value"]
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for group in ("train", "validation"):
        mine = table[table["series"] == f"{group}/loss"]
        theirs = [(row["step"], row["loss"]) for row in logged if row["group"] == group]
        assert list(zip(mine["step"], mine["value"], strict=True)) == theirs
    level = table[table["series"] == "validation/loss_per_level at noise level 0.75"]
    assert level["value"].tolist() == [row["loss_per_level"][1] for row in logged if "loss_per_level" in row]
    assert "train/images_seen" not in set(table["series"])  # tells nothing of learning
    average = table[table["series"] == "train/loss smoothed"]
    assert average["value"].tolist() == pytest.approx(
        smoothed(np.arange(10, 70, 10), 1 / np.arange(1, 7), 0.01 * 60).tolist()
    )


@pytest.mark.parametrize(("smooth", "time_constant"), [(30.0, 30.0), (0.5, 30.0)])
def test_smooth_is_steps_or_below_one_a_share_of_the_run(tmp_path: Path, smooth: float, time_constant: float):
    run = write_run(tmp_path / "run")
    table = numbers_of(plot_curves([run], tmp_path / "out.png", metrics=["loss"], smooth=smooth, csv=True))
    average = table[table["series"] == "train/loss smoothed"]["value"]
    expected = smoothed(np.arange(10, 70, 10), 1 / np.arange(1, 7), time_constant)
    np.testing.assert_allclose(average, expected)


def test_without_smoothing_there_is_no_smoothed_line(tmp_path: Path):
    table = numbers_of(plot_curves([write_run(tmp_path / "run")], tmp_path / "o.png", smooth=0, csv=True))
    assert not any("smoothed" in name for name in table["series"])


def test_scores_of_drawn_faces_are_panels_of_their_own(tmp_path: Path):
    run = write_run(tmp_path / "run")
    folder = RunDirectory(run)
    for step, kid in ((30, 0.2), (60, -0.01)):
        folder.append_metrics({"step": step, "group": "scores", "kid": kid, "attributes": 0.5 + kid})
    folder.append_metrics({"step": 60, "group": "stop", "reason": "kid did not get better"})
    table = numbers_of(plot_curves([run], tmp_path / "out.svg", csv=True))
    assert table[table["series"] == "scores/kid"]["value"].tolist() == [0.2, -0.01]
    drawn = (tmp_path / "out.svg").read_text()
    for words in ("Kernel distance", "Attributes that came true", "few drawn faces; compare within a run"):
        assert words in drawn
    others = plot_curves([write_run(tmp_path / "plain")], tmp_path / "plain.svg").path.read_text()
    assert "few drawn faces" not in others


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    runs = [write_run(tmp_path / where / "run", offset=offset) for where, offset in (("a", 0.0), ("b", 1.0))]
    table = numbers_of(plot_curves(runs, tmp_path / "out.svg", metrics=["loss"], csv=True))
    losses = table[table["series"] == "train/loss"].pivot(index="step", columns="run", values="value")
    assert (losses["b/run"] - losses["a/run"]).tolist() == pytest.approx([1.0] * 6)
    drawn = (tmp_path / "out.svg").read_text()
    assert "a/run" in drawn
    assert "Held-out" not in drawn  # only what was asked for


def test_a_torn_last_line_does_not_matter(tmp_path: Path):
    run = write_run(tmp_path / "run")
    whole = plot_curves([run], tmp_path / "whole.svg").path.read_bytes()
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 70, "group": "train", "lo')
    assert plot_curves([run], tmp_path / "torn.svg").path.read_bytes() == whole


def test_a_run_that_diverged_can_still_be_drawn(tmp_path: Path):
    run = write_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 70, "group": "train", "loss": NaN, "grad_norm": Infinity}\n')
        stream.write('{"step": 70, "group": "validation", "loss": NaN}\n')
    table = numbers_of(plot_curves([run], tmp_path / "out.png", csv=True))
    rows = table[(table["series"] == "train/loss") & (table["step"] == 70)]
    assert np.isnan(rows["value"].tolist()).all()


def test_phases_begin_where_the_task_says(tmp_path: Path):
    recipe = compose("vae-gan", overrides=["training.max_steps=37", "training.epochs=null"])
    task = recipe.section("task")
    run = RunDirectory(write_run(tmp_path / "run", recipe))
    begins = phases_of(run)
    assert set(begins) == {"kl", "classes", "adversarial"}
    for name, step in begins.items():
        assert task.phases.at((step - 1) / 37) == name
        assert task.phases.at((step - 2) / 37) != name
    drawn = plot_curves([run.path], tmp_path / "out.svg").path.read_text()
    assert "adversarial" in drawn


def test_a_run_without_phases_has_none(tmp_path: Path):
    assert phases_of(RunDirectory(write_run(tmp_path / "run"))) == {}


def test_nested_scores_are_drawn_on_request(tmp_path: Path):
    run = write_run(tmp_path / "run")
    table = numbers_of(plot_curves([run], tmp_path / "o.png", metrics=["attributes.Smiling.auc"], csv=True))
    assert table["value"].tolist() == [0.9, 0.9]


def test_a_run_that_logged_nothing_is_refused(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    RunDirectory(folder).start(compose("celeba-attributes"))
    with pytest.raises(DataError, match=r"logged nothing yet.*\n.*--resume"):
        read_runs([folder])


@pytest.mark.parametrize(
    ("runs", "options", "says"),
    [
        (["nothing"], {}, "not a run"),
        (["run", "run"], {}, "named twice"),
        (["run"], {"metrics": ["grad_nrm"]}, "Did you mean 'grad_norm'"),
        (["run"], {"metrics": ["trivial"]}, "There are: loss, lr"),
        (["run"], {"smooth": -1.0}, "--smooth must be 0 or more"),
        ([f"run{n}" for n in range(8)], {}, "told apart by colour"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, monkeypatch, runs, options, says):
    monkeypatch.chdir(tmp_path)
    write_run(Path("run"))
    with pytest.raises(UsageError) as caught:
        plot_curves([Path(run) for run in runs], **options)
    assert says in str(caught.value)
    assert not Path("plots").exists()
