"""Faces scored while training: the numbers `facegen eval` gives of the checkpoint, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.evaluation_parts import train_judge, write_shapes
from support.scoring_parts import scored_recipe
from support.tiny_dataset import write_dataset
from support.training_parts import write_latents

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.options import AttributeOptions, DistributionOptions
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.run import RunDirectory
from facegen.models.feature_networks import FeatureExtractor
from facegen.progress import SilentProgress
from facegen.training.train import train
from facegen.training.wiring import wire_task

SPLIT = "validation"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "faces", {"train": 40, SPLIT: 24}).folder


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = write_shapes(tmp_path_factory.mktemp("judged") / "faces", {"train": 64, SPLIT: 16}, seed=1)
    return train_judge(dataset, tmp_path_factory.mktemp("judge") / "run")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


def all_scores(judge: Path) -> list[dict[str, Any]]:
    features = f"classifier:{judge}"
    over_features = [
        {"kind": kind, "features": features} for kind in ("kid", "fid", "mind", "precision-recall")
    ]
    return [*over_features, {"kind": "attributes", "classifier": str(judge)}]


def test_scores_are_those_that_eval_gives_of_the_checkpoint(
    tmp_path: Path, shapes: Path, judge: Path
) -> None:
    run, features = tmp_path / "run", f"classifier:{judge}"
    summary = train(scored_recipe(shapes, {"scores": all_scores(judge), "best_by": "kid"}), run, device="cpu")
    logged = [row for row in RunDirectory(run).metrics() if row["group"] == "scores"]
    assert [row["step"] for row in logged] == [3, 6, 8]
    asked = DistributionOptions(num_samples=20, split=SPLIT, features=features, device="cpu")
    for checkpoint in list_checkpoints(run):
        row = next(row for row in logged if checkpoint.name == f"step-{row['step']:08d}")
        report = evaluate(checkpoint, shapes, None, asked)
        attributes = evaluate_attributes(
            checkpoint, judge, AttributeOptions(num_samples=20, device="cpu", grid_images=0)
        )
        expected = {name: score.value for name, score in report.scores.items()}
        expected |= {"attributes": attributes.share_all, "attributes_present": attributes.share_present}
        assert {name: row[name] for name in expected} == expected
    assert summary.scores == {name: logged[-1][name] for name in summary.scores}
    assert (summary.best_by, summary.best_value) == ("kid", min(row["kid"] for row in logged))


def test_real_images_are_seen_once_and_kept(
    tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def extract(images: Any) -> Any:
        seen.append(len(images))
        return images.float().mean((2, 3)) / 255

    extractor = FeatureExtractor("colour", "colour:1", None, extract)
    monkeypatch.setattr("facegen.training.face_scores.load_extractor", lambda *args, **kwargs: extractor)
    recipe = scored_recipe(shapes, {"scores": [{"kind": "kid"}, {"kind": "fid"}]})
    train(recipe, tmp_path / "a", device="cpu")
    assert sorted(seen) == [20, 20, 20, 24]  # three scorings, each network looks once; the real images once
    train(recipe, tmp_path / "b", device="cpu")
    assert sorted(seen[4:]) == [20, 20, 20]


def test_latents_are_scored_against_the_data_set_that_is_named(
    tmp_path: Path, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = FeatureExtractor("colour", "colour:1", None, lambda images: images.float().mean((2, 3)))
    monkeypatch.setattr("facegen.training.face_scores.load_extractor", lambda *args, **kwargs: extractor)
    latents = write_latents(tmp_path / "latents")
    real = write_dataset(tmp_path / "real", {"train": 4, SPLIT: 18}, size=8).folder
    scoring: dict[str, Any] = {"scores": [{"kind": "kid"}]}
    recipe = scored_recipe(latents, scoring).model_copy(update={"autoencoder": None})
    with pytest.raises(UsageError, match="are latents, which hold none") as refused:
        train(recipe, tmp_path / "run", device="cpu")
    assert "scoring.reference=DATASET" in (refused.value.hint or "")
    recipe = scored_recipe(latents, {**scoring, "reference": str(real)})
    summary = train(recipe.model_copy(update={"autoencoder": None}), tmp_path / "run", device="cpu")
    assert "kid" in summary.scores


@pytest.mark.parametrize(
    ("score", "more", "error", "told"),
    [
        ({"kind": "reconstruction"}, {}, UsageError, "cannot judge faces while training"),
        ({"kind": "inception_score", "features": "clip"}, {}, UsageError, "features 'inception' alone"),
        ({"kind": "inception_score"}, {"num_images": 16}, UsageError, "16, too few for an Inception score"),
        ({"kind": "kid", "features": "inceptoin"}, {}, UsageError, "Did you mean 'inception'"),
        ({"kind": "kid"}, {"reference": "nowhere"}, DataError, "is not a prepared data set"),
        ({"kind": "attributes", "classifier": "nowhere"}, {}, MissingModelError, "no checkpoint"),
    ],
)
def test_a_score_that_cannot_be_made_is_refused_before_the_first_step(
    tmp_path: Path,
    shapes: Path,
    score: dict[str, Any],
    more: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        train(scored_recipe(shapes, {"scores": [score], **more}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_weights_that_are_not_here_are_refused_before_the_first_step(
    tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    recipe = scored_recipe(shapes, {"scores": [{"kind": "kid", "features": "dinov2"}]})
    with pytest.raises(MissingModelError, match="dinov2 weights are neither in"):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_judges_and_references_of_another_size_are_refused(tmp_path: Path, shapes: Path, judge: Path) -> None:
    large = write_dataset(tmp_path / "large", {"train": 8, SPLIT: 16}, size=32).folder
    with pytest.raises(UsageError, match="was trained on 16 pixels, and this run draws 32"):
        train(scored_recipe(large, {"scores": all_scores(judge)[-1:]}), tmp_path / "a", device="cpu")
    scoring = {"scores": all_scores(judge)[:1], "reference": str(large)}
    with pytest.raises(DataError, match=r"The run draws 16 pixels and scoring\.reference"):
        train(scored_recipe(shapes, scoring), tmp_path / "b", device="cpu")


def test_too_few_real_images_are_refused(tmp_path: Path, judge: Path) -> None:
    few = write_shapes(tmp_path / "few", {"train": 20, SPLIT: 8}).folder
    with pytest.raises(DataError, match="8 images are too few for a kernel distance"):
        train(scored_recipe(few, {"scores": all_scores(judge)[:1]}), tmp_path / "run", device="cpu")


def test_a_task_that_draws_no_faces_is_refused(shapes: Path) -> None:
    recipe = scored_recipe(shapes, {"scores": [{"kind": "kid"}]})
    task = {"kind": "attribute_classification"}
    with pytest.raises(UsageError, match="a model of the task 'attribute_classification' draws none"):
        wire_task(recipe.model_copy(update={"task": task}))


def test_a_run_that_stopped_early_says_so_and_how_to_go_on(
    tmp_path: Path, shapes: Path, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    scoring = {"scores": all_scores(judge)[-1:], "best_by": "attributes", "every_steps": 1, "stop_after": 2}
    recipe = scored_recipe(shapes, scoring, max_steps=40)
    summary = train(recipe, run, device="cpu")
    assert summary.steps < 40
    assert summary.stopped is not None
    progress = SilentProgress()
    again = train(recipe, run, resume=True, progress=progress, device="cpu")
    assert (again.steps, again.stopped) == (summary.steps, summary.stopped)
    told = " ".join(progress.said)
    assert f"stopped early, after step {summary.steps} of 40" in told
    assert f"facegen train --run {run} --resume --set scoring.stop_after=null" in told
    on = recipe.model_copy(update={"scoring": recipe.scoring.model_copy(update={"stop_after": None})})
    assert train(on, run, resume=True, device="cpu").steps == 40
