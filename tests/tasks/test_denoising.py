"""The denoising task: reproducible batches, the right loss, honest validation, clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.draws import draws_of
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor, nn

from facegen.config.recipe import DiffusionConfig
from facegen.diffusion.denoiser import Objective
from facegen.errors import DataError, UsageError
from facegen.formats.latents import LatentStore
from facegen.models.objective import objective_of
from facegen.tasks.denoising import Config, DenoisingTask, build, latent_samples
from facegen.types import Conditioning, SampleSpec

PARAMETERISATIONS = ["eps", "v", "x0", "flow"]


def asked_for(**settings: Any) -> Objective:
    return objective_of(DiffusionConfig(**settings))


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return LatentStore.open(
        write_latents(tmp_path_factory.mktemp("latents"), {"train": 64, "validation": 48})
    )


class ConstantDenoiser(nn.Module):
    """Answers `value` everywhere; remembers what it was asked."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        self.asked.append((x_t, timestep))
        return self.value.expand_as(x_t)


class MeanDenoiser(nn.Module):
    """Knows the data's mean and nothing else: answers as if x0 were it."""

    def __init__(self, task: DenoisingTask, parameterisation: str) -> None:
        super().__init__()
        self.mean = task._mean
        self.objective = asked_for(parameterisation=parameterisation)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        alpha, sigma = (v.view(-1, 1, 1, 1) for v in self.objective.path.alpha_sigma(timestep))
        mean = self.mean.expand_as(x_t)
        return self.objective.target(mean, (x_t - alpha * mean) / sigma, timestep)


def make(latents: LatentStore, parameterisation: str = "flow", value: float = 0.0, **changes: Any) -> Any:
    from facegen.conditioners.attributes import Config as ConditionerConfig
    from facegen.conditioners.attributes import build as build_conditioner

    data = denoising_recipe(latents.folder).data.model_copy(update=changes)
    return build(
        Config(validation_examples=48),
        train=latent_samples(latents, data.train_split, flip=data.flip),
        validation=latent_samples(latents, data.validation_split),
        limit=data.limit,
        objective=asked_for(parameterisation=parameterisation),
        conditioner=build_conditioner(
            ConditionerConfig(dim=4), latents.index.labels, SampleSpec(latents.index.sample_shape)
        ),
        build_denoiser=lambda: ConstantDenoiser(value),
    )


def test_a_batch_is_a_function_of_indices_and_draws(latents: LatentStore) -> None:
    task = make(latents)
    indices = torch.tensor([3, 1, 60])
    first, again, other = (task.batch(indices, draws_of(3, seed)) for seed in (1, 1, 2))
    assert first.keys() == {"x0", "noise", "timestep", "inputs"}
    assert all(len(value) == 3 for value in first.values())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])
    moments = latents.split("train").gather(indices)
    assert torch.allclose(first["x0"], latents.index.scaling.apply(moments.mean), atol=1e-4)


def test_latents_are_drawn_from_their_posterior(latents: LatentStore) -> None:
    indices = torch.tensor([3, 1, 60])
    noise = draws_of(3).normal(*latents.index.sample_shape)
    expected = latents.index.scaling.apply(latents.split("train").gather(indices).sample(noise))
    assert torch.equal(latent_samples(latents, "train").held_out(indices, draws_of(3)), expected)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_the_loss_is_the_mean_squared_error_to_the_target(
    latents: LatentStore, parameterisation: str
) -> None:
    task = make(latents, parameterisation, value=0.25)
    module = task.build_module()
    batch = task.batch(torch.arange(8), draws_of(8))
    objective = asked_for(parameterisation=parameterisation)
    target = objective.target(batch["x0"], batch["noise"], batch["timestep"])
    loss = task.losses(module, batch)["loss"]
    assert loss.item() == pytest.approx((target - 0.25).square().mean().item(), rel=1e-5)
    x_t, timestep = module["denoiser"].asked[0]
    assert torch.equal(x_t, objective.path.add_noise(batch["x0"], batch["noise"], batch["timestep"]))
    assert torch.equal(timestep, batch["timestep"])
    loss.backward()
    assert module["denoiser"].value.grad is not None


def test_weighting_reaches_the_loss(latents: LatentStore) -> None:
    task = make(latents, "eps")
    task._objective = asked_for(weighting="min_snr", parameterisation="eps")
    batch = task.batch(torch.arange(16), draws_of(16))
    per_sample = batch["noise"].square().flatten(1).mean(1)
    expected = (per_sample * task._objective.loss_weight(batch["timestep"])).mean()
    assert task.losses(task.build_module(), batch)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert not torch.allclose(expected, per_sample.mean())


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_a_model_that_answers_zero_is_called_no_better_than_zero(
    latents: LatentStore, parameterisation: str
) -> None:
    task = make(latents, parameterisation)
    result = task.validate(task.build_module(), "cpu")
    assert result["loss_per_level"] == pytest.approx(result["zero_predictor_per_level"])
    assert result["better_than_trivial"] is False
    assert "no better than predicting zero" in result["verdict"]
    assert len(result["noise_levels"]) == 10


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_a_model_that_knows_the_mean_alone_does_not_pass_for_better(
    latents: LatentStore, parameterisation: str
) -> None:
    task = make(latents, parameterisation)
    module = nn.ModuleDict(
        {"denoiser": MeanDenoiser(task, parameterisation), "conditioner": task._conditioner}
    )
    result = task.validate(module, "cpu")
    assert result["better_than_trivial"] is False
    for mine, mean in zip(result["loss_per_level"], result["mean_predictor_per_level"], strict=True):
        assert mine >= mean * 0.999
    assert result["loss_per_level"][-1] == pytest.approx(result["mean_predictor_per_level"][-1], rel=1e-3)


def test_a_model_that_knows_more_is_said_to_be_below_the_floor(latents: LatentStore) -> None:
    task = make(latents)
    x0 = task._validation["x0"]
    objective = task._objective

    class Oracle(nn.Module):
        def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
            alpha, sigma = (v.view(-1, 1, 1, 1) for v in objective.path.alpha_sigma(timestep))
            return objective.target(x0, (x_t - alpha * x0) / sigma, timestep)

    result = task.validate(nn.ModuleDict({"denoiser": Oracle(), "conditioner": task._conditioner}), "cpu")
    assert result["loss"] < 1e-6
    assert result["better_than_trivial"] is True
    assert "100 % below the trivial floor" in result["verdict"]


def test_validation_repeats_itself_and_ignores_the_global_generator(latents: LatentStore) -> None:
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        task = make(latents, value=0.1)
        results.append(task.validate(task.build_module(), "cpu"))
    assert results[0] == results[1]


def test_limit_narrows_the_training_examples(latents: LatentStore) -> None:
    assert make(latents).num_examples == 64
    assert make(latents, limit=10).num_examples == 10
    assert make(latents, limit=1000).num_examples == 64


def test_flips_that_were_not_encoded_are_refused(latents: LatentStore) -> None:
    with pytest.raises(UsageError, match="--flips"):
        make(latents, flip=True)


def test_a_missing_split_is_refused_naming_those_there_are(latents: LatentStore) -> None:
    with pytest.raises(DataError, match="no split 'test'") as refused:
        make(latents, validation_split="test")
    assert "train, validation" in str(refused.value)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    store = LatentStore.open(write_latents(tmp_path, {"train": 4, "validation": 0}))
    with pytest.raises(DataError, match="no examples in their 'validation' split"):
        make(store)
