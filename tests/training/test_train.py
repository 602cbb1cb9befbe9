"""`facegen train` from the recipe to the run folder, for every task, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_dataset import write_dataset
from support.training_parts import COUNTS, denoising_recipe, write_latents

from facegen.config.composition import compose, preset_names
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints, remove_checkpoint
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.training import checkpointing
from facegen.training.train import estimate, train


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset") / "faces").folder


def image_recipe(dataset: Path, kind: str, **sections: Any) -> Recipe:
    training = {"max_steps": 3, "batch_size": 4, "preview_every_steps": 2, "preview_images": 2}
    data = {"task": {"kind": kind}, "data": {"path": str(dataset)}, "training": training, **sections}
    return parse_recipe(data)


def test_a_denoiser_trains_and_its_run_folder_samples(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents, preview_every_steps=5, preview_images=3)
    progress = SilentProgress()
    summary = train(recipe, tmp_path / "run", progress=progress, device="cpu")
    assert (summary.steps, summary.images_seen, summary.task) == (10, 160, "denoising")
    assert json.loads(json.dumps(summary.to_json()))["validation"]["verdict"]
    assert any(line.startswith("Precision fp32") for line in progress.said)
    samples = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert samples == ["step-00000005.png", "step-00000010.png"]
    info = load_checkpoint(tmp_path / "run").info
    assert (info.sample_shape, info.image_size) == ((3, 8, 8), 8)
    assert info.autoencoder is not None
    assert info.autoencoder["source"] == "identity"
    generator = load(tmp_path / "run", "cpu")
    images = generator.generate(generator.conditioner.null_inputs(2), [0, 1], recipe.sampling)
    assert images.shape == (2, 3, 8, 8)


def test_an_autoencoder_trains_with_pairs_as_previews(tmp_path: Path, dataset: Path) -> None:
    from facegen.autoencoders import load_autoencoder

    compact = {"kind": "compact", "downsampling": 2, "widths": [8], "decoder_blocks": 1}
    recipe = image_recipe(dataset, "autoencoding", autoencoder=compact)
    summary = train(recipe, tmp_path / "run")
    assert summary.validation["psnr"] > 0
    assert (tmp_path / "run" / "samples" / "step-00000002.png").is_file()
    assert load_autoencoder(tmp_path / "run").kind == "compact"


def test_a_classifier_trains(tmp_path: Path, dataset: Path) -> None:
    task = {"kind": "attribute_classification", "widths": [4, 8]}
    summary = train(image_recipe(dataset, "attribute_classification", task=task), tmp_path / "run")
    assert summary.task == "attribute_classification"
    assert not (tmp_path / "run" / "samples").exists()


def test_epochs_decide_the_number_of_steps(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents, max_steps=None, epochs=2)
    assert train(recipe, tmp_path / "run").steps == 2 * COUNTS["train"] // 16


def test_a_finished_run_says_so_when_resumed(tmp_path: Path, latents: Path) -> None:
    recipe = denoising_recipe(latents)
    first = train(recipe, tmp_path / "run")
    progress = SilentProgress()
    again = train(recipe, tmp_path / "run", resume=True, progress=progress)
    assert progress.said == ["This run is done: all 10 steps were made."]
    assert (again.steps, again.best_loss) == (first.steps, first.best_loss)
    assert again.validation == first.validation


def test_checkpoints_that_a_killed_save_left_unremoved_go_when_resumed(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last save of a run has no other after it: what it did not remove would stay."""
    recipe = denoising_recipe(latents, max_steps=4, checkpoint_every_steps=1, keep_last=2)
    train(recipe, tmp_path / "whole")

    def killed(folder: Path) -> None:
        if list_checkpoints(folder.parents[1])[-1].name == "step-00000004":
            raise KeyboardInterrupt
        remove_checkpoint(folder)

    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "remove_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "killed")
    train(recipe, tmp_path / "killed", resume=True)
    kept = [[folder.name for folder in list_checkpoints(tmp_path / name)] for name in ("killed", "whole")]
    assert kept[0] == kept[1]


def test_latents_may_move_but_not_change_before_resuming(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "run")
    moved = write_latents(tmp_path / "moved")
    train(denoising_recipe(moved), tmp_path / "run", resume=True)
    other = write_latents(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="not those this run was started with"):
        train(denoising_recipe(other), tmp_path / "run", resume=True)


def test_resuming_with_another_recipe_is_refused(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "run")
    with pytest.raises(UsageError, match=r"training\.seed: 0 in the run, 1 now"):
        train(denoising_recipe(latents, seed=1), tmp_path / "run", resume=True)


def test_an_existing_run_is_refused_without_resume(tmp_path: Path, latents: Path) -> None:
    train(denoising_recipe(latents), tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run") as refused:
        train(denoising_recipe(latents), tmp_path / "run")
    assert "--resume" in str(refused.value)


def test_a_folder_or_file_in_the_way_is_refused_and_left_alone(tmp_path: Path, latents: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not empty and not a run"):
        train(denoising_recipe(latents), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        train(denoising_recipe(latents), tmp_path / "run" / "thesis.tex")


def test_resuming_nothing_is_refused_and_makes_no_folder(tmp_path: Path, latents: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        train(denoising_recipe(latents), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_images_given_to_a_denoiser_are_refused_with_the_command_that_encodes(
    tmp_path: Path, dataset: Path
) -> None:
    with pytest.raises(DataError, match=f"facegen encode {dataset}") as refused:
        train(denoising_recipe(dataset), tmp_path / "run")
    assert refused.value.exit_code == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["autoencoding", "attribute_classification"])
def test_latents_given_to_an_image_task_are_refused(tmp_path: Path, latents: Path, kind: str) -> None:
    with pytest.raises(DataError, match="folder of latents"):
        train(image_recipe(latents, kind, autoencoder={"kind": "compact"}), tmp_path / "run")


def test_missing_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        train(denoising_recipe(tmp_path / "nowhere"), tmp_path / "run")
    recipe = denoising_recipe(tmp_path)
    without = recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": None})})
    with pytest.raises(UsageError, match="--data"):
        train(without, tmp_path / "run")


def test_an_unknown_device_is_refused(tmp_path: Path, latents: Path) -> None:
    with pytest.raises(UsageError, match="device"):
        train(denoising_recipe(latents), tmp_path / "run", device="abacus")


def test_an_estimate_counts_without_training(latents: Path, tmp_path: Path) -> None:
    recipe = denoising_recipe(latents)
    guess = estimate(recipe)
    summary = train(recipe, tmp_path / "run")
    assert guess.parameters == summary.parameters
    assert (guess.steps, guess.num_examples, guess.epochs) == (10, 40, 4.0)
    files = load_checkpoint(tmp_path / "run").folder.iterdir()
    assert guess.checkpoint_bytes == pytest.approx(sum(f.stat().st_size for f in files), rel=0.5)


@pytest.mark.parametrize("name", [n for n in preset_names() if n in ("avatars", "celeba-attributes")])
def test_the_attribute_presets_train_in_their_smoke_size(tmp_path: Path, name: str, latents: Path) -> None:
    overrides = [f"data.path={latents}", "data.flip=false"]
    summary = train(compose(name, overrides=overrides, size="smoke"), tmp_path / "run")
    assert summary.steps == 4
    assert (tmp_path / "run" / "samples" / "step-00000004.png").is_file()


def test_compiled_training_keeps_the_names_of_the_weights(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compiled.append(self))
    train(denoising_recipe(latents, max_steps=1, compile=True), tmp_path / "run")
    assert len(compiled) == 2
    names = load_checkpoint(tmp_path / "run").weights("model").keys()
    assert all(name.startswith(("denoiser.", "conditioner.")) for name in names)
