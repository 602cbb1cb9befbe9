"""Which checkpoint scores make the best, when they end a run, and how a run with them is resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training_parts import LineTask, line_recipe, line_trainer
from torch import nn

from facegen.config.recipe import Recipe, ScoringConfig, parse_recipe
from facegen.errors import UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.metrics import Score
from facegen.progress import SilentProgress
from facegen.training.scoring import Scores, Scoring, check_scoring
from facegen.training.trainer import Trainer

KID = {"kind": "kid", "features": "inception"}


class Told:
    """A scorer that says `values`, one a scoring, whatever is drawn."""

    def __init__(self, values: Sequence[float], judge: str = "a", better: Any = "lower") -> None:
        self.judged_by, self._values, self._better = {"network": judge}, iter(values), better

    def __call__(self, module: nn.Module) -> Scores:
        assert not module.training
        return {"kid": {"kid": Score(next(self._values), self._better), "other": Score(0.5, "higher")}}


def scored_line(max_steps: int = 12, **scoring: Any) -> Recipe:
    given = {"scores": [KID], "every_steps": 2, "best_by": "kid", **scoring}
    recipe = line_recipe(max_steps=max_steps, checkpoint_every_steps=100, trackers=[])
    return recipe.model_copy(update={"scoring": ScoringConfig(**given)})


def scored_trainer(run: Path, recipe: Recipe, scorer: Told) -> Trainer:
    trainer = line_trainer(run, recipe)
    trainer.scoring = Scoring(recipe.scoring, scorer, trainer.progress)
    return trainer


def scored_run(run: Path, recipe: Recipe, *values: float, **told: Any) -> Trainer:
    trainer = scored_trainer(run, recipe, Told(values, **told))
    trainer.fit()
    return trainer


def rows(run: Path, group: str) -> list[dict[str, Any]]:
    return [row for row in RunDirectory(run).metrics() if row["group"] == group]


@pytest.mark.parametrize(("better", "best"), [("lower", 4), ("higher", 8)])
def test_the_best_checkpoint_is_the_best_by_the_chosen_score(tmp_path: Path, better: str, best: int) -> None:
    run = tmp_path / "run"
    scored_run(run, scored_line(), 0.5, 0.1, 0.3, 0.7, 0.2, 0.4, better=better)
    found = load_checkpoint(run, "best")
    assert found.info.step == best
    assert found.info.ranking is not None
    assert found.info.ranking.value == {4: 0.1, 8: 0.7}[best]
    assert found.info.scores == {"kid": found.info.ranking.value, "other": 0.5}
    assert [row["kid"] for row in rows(run, "scores")] == [0.5, 0.1, 0.3, 0.7, 0.2, 0.4]


def test_scores_that_do_not_choose_leave_the_best_to_the_loss(tmp_path: Path) -> None:
    recipe = scored_line(best_by="loss")
    scored_run(tmp_path / "run", recipe, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    losses = {row["step"]: row["loss"] for row in rows(tmp_path / "run", "validation")}
    best = load_checkpoint(tmp_path / "run", "best").info
    assert best.step == min(losses, key=losses.__getitem__)
    assert best.ranking is not None
    assert best.ranking.name == "loss"


def test_a_score_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    scored_run(tmp_path / "run", scored_line(max_steps=6), math.nan, 0.5, math.nan)
    assert load_checkpoint(tmp_path / "run", "best").info.step == 4


def test_a_run_ends_early_where_its_score_gets_no_better(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = scored_run(run, scored_line(stop_after=2), 0.5, 0.1, 0.3, 0.3)
    assert trainer.step == 8
    assert trainer.scoring.stopped is not None
    assert "kid was best at step 4 (0.1) and did not get better in 2 measurements" in trainer.scoring.stopped
    (row,) = rows(run, "stop")
    assert (row["step"], row["reason"]) == (8, trainer.scoring.stopped)
    assert load_checkpoint(run, "latest").info.step == 8
    assert load_checkpoint(run, "best").info.step == 4


def test_the_loss_of_validations_can_end_a_run_without_any_scores(tmp_path: Path) -> None:
    recipe = scored_line(max_steps=400, scores=[], best_by="loss", stop_after=2)
    trainer = line_trainer(tmp_path / "run", recipe)
    trainer.fit()
    assert trainer.step < 400
    losses = [row["loss"] for row in rows(tmp_path / "run", "validation")]
    assert min(losses) == losses[-3]


def test_a_stopped_run_makes_no_more_steps_until_its_patience_is_lifted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    scored_run(run, scored_line(stop_after=1), 0.1, 0.3)
    again = scored_trainer(run, scored_line(stop_after=1), Told([]))
    again.restore(load_checkpoint(run, "latest"))
    again.fit()
    assert again.step == 4
    patient = scored_trainer(run, scored_line(), Told([0.5, 0.4, 0.05, 0.3]))
    patient.restore(load_checkpoint(run, "latest"))
    patient.fit()
    assert patient.step == 12
    assert load_checkpoint(run, "best").info.step == 10


def test_a_resumed_run_stops_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    values, recipe = (0.5, 0.1, 0.3, 0.2, 0.4), scored_line(stop_after=3)
    whole = scored_run(tmp_path / "whole", recipe, *values)
    short = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_steps": 6})})
    scored_run(tmp_path / "parts", short, *values)
    resumed = scored_trainer(tmp_path / "parts", recipe, Told(values[3:]))
    resumed.restore(load_checkpoint(tmp_path / "parts", "latest"))
    resumed.fit()
    assert whole.step == resumed.step == 10
    assert whole.scoring.stopped == resumed.scoring.stopped
    assert whole.scoring.state() == resumed.scoring.state()


@pytest.mark.parametrize("averaged", [True, False])
def test_scoring_leaves_the_training_as_it_is(tmp_path: Path, averaged: bool) -> None:
    modules: list[nn.Module] = []
    for name, scoring in (("scored", scored_line().scoring), ("plain", ScoringConfig())):
        recipe = line_recipe(max_steps=12, trackers=[], ema={"enabled": averaged})
        trainer = line_trainer(
            tmp_path / name, recipe.model_copy(update={"scoring": scoring}), LineTask(dropout=0.5)
        )
        trainer.scoring = Scoring(scoring, Told([0.1] * 6) if scoring.scores else None, trainer.progress)
        trainer.fit()
        modules.append(trainer.module)
    scored, plain = (module.state_dict() for module in modules)
    for name, value in plain.items():
        assert torch.equal(value, scored[name])


def test_a_run_is_not_resumed_with_another_judge(tmp_path: Path) -> None:
    run = tmp_path / "run"
    scored_run(run, scored_line(max_steps=4), 0.1, 0.2)
    other = scored_trainer(run, scored_line(), Told([], judge="b"))
    with pytest.raises(UsageError, match="another network"):
        other.restore(load_checkpoint(run, "latest"))


def test_a_run_from_before_there_were_scores_is_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = scored_run(run, scored_line(max_steps=4), 0.1, 0.2)
    trainer.scoring.load_state(None)
    info = json.loads((run / "checkpoints/step-00000004/checkpoint.json").read_text())
    for key in ("scores", "chosen"):
        del info[key]
    del info["recipe"]["scoring"]
    (run / "checkpoints/step-00000004/checkpoint.json").write_text(json.dumps(info))
    ranking = load_checkpoint(run / "checkpoints/step-00000004").info.ranking
    assert ranking is not None
    assert (ranking.name, ranking.value) == ("loss", info["metrics"]["loss"])


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=30), st.integers(1, 5))
def test_patience_counts_measurements_since_the_best(values: list[float], patience: int) -> None:
    class Log:
        def write(self, *args: Any) -> None: ...

    log: Any = Log()
    config = ScoringConfig(stop_after=patience)
    scoring, best, since = Scoring(config, None, SilentProgress()), math.inf, 0
    for step, value in enumerate(values, start=1):
        scoring.take_note(step, {"loss": value}, log)
        best, since = (value, 0) if value < best else (best, since + 1)
        assert (scoring.stopped is not None) == (since >= patience)


@pytest.mark.parametrize(
    ("scoring", "told"),
    [
        ({"scores": [{"kind": "kidd"}]}, "Did you mean 'kid'"),
        ({"scores": [{"kind": "attributes"}]}, "takes a 'classifier'"),
        ({"scores": [{"kind": "kid", "classifier": "runs/judge"}]}, "takes a 'classifier'"),
        ({"scores": [{"kind": "kid"}, {"kind": "kid", "features": "dinov2"}]}, "each kind of score once"),
        ({"scores": [{"kind": "kid"}], "best_by": "fid"}, "'best_by' is one of loss, kid"),
        ({"stop_after": 0}, "greater than or equal to 1"),
    ],
)
def test_a_recipe_with_scores_that_make_no_sense_is_refused(scoring: dict[str, Any], told: str) -> None:
    data = {"task": {"kind": "denoising"}, "training": {"max_steps": 2}, "scoring": scoring}
    with pytest.raises(UsageError, match=told):
        parse_recipe(data)


def test_a_recipe_tells_no_place_of_judges_and_reference() -> None:
    scores = [{"kind": "kid", "features": "classifier:/home/me/judge"}, {"kind": "fid"}]
    scores.append({"kind": "attributes", "classifier": "/home/me/judge"})
    scoring = {"scores": scores, "reference": "/home/me/faces"}
    recipe = parse_recipe({"task": {"kind": "denoising"}, "training": {"max_steps": 2}, "scoring": scoring})
    told = recipe.shared()
    assert "/home" not in json.dumps(told)
    assert told["scoring"]["scores"][0]["features"] == "classifier:judge"
    assert parse_recipe(told).scoring.scores[1].features == "inception"


def test_scores_that_a_run_cannot_make_are_refused() -> None:
    config = ScoringConfig.model_validate({"scores": [KID], "every_steps": 50})
    check_scoring(config, 50, draws_faces=True, task="denoising")
    with pytest.raises(UsageError, match="nothing would be scored before its end") as refused:
        check_scoring(config, 49, draws_faces=True, task="denoising")
    assert refused.value.hint == "--set scoring.every_steps=4"
    with pytest.raises(UsageError, match="'autoencoding' draws none"):
        check_scoring(config, 50, draws_faces=False, task="autoencoding")
