"""Drawing away from what the model was early in its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_parts import denoising_recipe, write_latents

from facegen.config.composition import merge
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import UsageError
from facegen.formats.checkpoint import WEAK_FILE, load_checkpoint
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.models.generator import FaceGenerator, sampling_with
from facegen.models.loading import load
from facegen.training.train import train


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


def recipe_of(latents: Path, **training: Any) -> Recipe:
    """Ten steps that change much, with a checkpoint after each."""
    recipe = denoising_recipe(latents, checkpoint_every_steps=1, keep_last=10, **training)
    return parse_recipe(merge(recipe.model_dump(mode="json"), {"optimizer": {"lr": 0.05}}))


@pytest.fixture(scope="module")
def run(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    train(recipe_of(latents, weak_at=0.3), run, device="cpu")
    return run


def test_checkpoints_keep_the_average_of_early_in_the_run(run: Path) -> None:
    early = load_checkpoint(run / "checkpoints" / checkpoint_name(3)).weights("ema")
    for folder in list_checkpoints(run):
        weak = load_checkpoint(folder).weak_weights()
        if load_checkpoint(folder).info.step < 3:
            assert weak is None
        else:
            assert weak is not None
            assert all(torch.equal(weak[name], value) for name, value in early.items())


def test_a_resumed_run_keeps_the_same(latents: Path, run: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    train(recipe_of(latents, weak_at=0.3), again, device="cpu")
    for folder in list_checkpoints(again)[5:]:
        for file in folder.rglob("*"):
            file.unlink()
        folder.rmdir()
    train(recipe_of(latents, weak_at=0.3), again, resume=True, device="cpu")
    last = [one / "checkpoints" / checkpoint_name(10) / WEAK_FILE for one in (run, again)]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_a_walk_leads_away_from_the_early_model_that_is_asked_nothing(run: Path) -> None:
    generator, early = load(run / "checkpoints" / checkpoint_name(10)), checkpoint_name(3)
    weak = load(run / "checkpoints" / early)
    inputs, seeds = torch.tensor([[1, 0], [-1, 1]]).to(torch.int8), [5, 6]

    def first(
        model: FaceGenerator, asked: torch.Tensor, negative: Any = None, **settings: Any
    ) -> torch.Tensor:
        told = {"steps": 4, "guidance_from": "weak", **settings}
        sampling = sampling_with(generator.sampling, told)
        return next(iter(model.trajectory(asked, seeds, sampling, negative))).x0

    nothing, other = torch.zeros_like(inputs), -inputs
    good, bad, against = first(generator, inputs), first(weak, nothing), first(weak, other)
    assert (good - bad).abs().max() > 0.01
    for walked, away in (
        (first(generator, inputs, guidance_scale=2.5), bad),
        (first(generator, inputs, other, guidance_scale=2.5), against),
    ):
        torch.testing.assert_close(walked, away + 2.5 * (good - away), atol=1e-5, rtol=1e-4)
    outside = first(generator, inputs, guidance_scale=2.5, guidance_interval=(0.0, 0.5))
    torch.testing.assert_close(outside, good)


def test_a_model_without_early_weights_says_how_to_get_them(run: Path) -> None:
    generator = load(run / "checkpoints" / checkpoint_name(2))
    settings = sampling_with(generator.sampling, {"guidance_scale": 2.0, "guidance_from": "weak"})
    with pytest.raises(UsageError, match=r"training\.weak_at"):
        generator.generate(generator.conditioner.null_inputs(1), [0], settings)
