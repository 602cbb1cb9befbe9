"""The VAE-GAN's task: which loss counts when, who gets which gradient, and exactness under cutting."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support.draws import draws_of
from support.tiny_dataset import write_dataset
from support.training_parts import training_images
from torch import Tensor, nn

from facegen.autoencoders.vae_gan import Config as VaeGanConfig
from facegen.config.kinds import kind_config
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import Dataset
from facegen.nn.perceptual import PerceptualDistance, Vgg16Features
from facegen.protocols import Batch, PhasedTask
from facegen.tasks.adversarial_autoencoding import AdversarialAutoencodingTask, Config, build
from facegen.types import LatentMoments

TINY = VaeGanConfig(
    image_size=16, latent_dim=6, widths=(8, 16), encoder_blocks=0, decoder_blocks=0, num_heads=2
)
SETTINGS = {
    "kind": "adversarial_autoencoding",
    "class_column": "Smiling",
    "discriminator_widths": [8, 8],
    "phases": {"kl": 0.2, "classes": 0.4, "adversarial": 0.6},
    "ramp": 0.1,
}
IMAGE_LOSSES = {"reconstruction", "perceptual"}
GAN_LOSSES = {"adversarial", "discriminator", "gradient_penalty"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("vae-gan") / "data")


def make(
    dataset: Dataset, data: dict[str, Any] | None = None, **settings: Any
) -> AdversarialAutoencodingTask:
    config: Config = kind_config("tasks", {**SETTINGS, **settings})
    distance = PerceptualDistance(Vgg16Features(["relu1_1"]))
    return build(config, training_images(dataset, TINY, distance, **(data or {})))


def batch_of(task: AdversarialAutoencodingTask, done: float, count: int = 6) -> Batch:
    batch = task.batch(torch.arange(count), draws_of(count, 1))
    return {**batch, "done": torch.full((count,), done)}


def module_of(task: AdversarialAutoencodingTask) -> nn.Module:
    """With noise on every weight: zero-initialised layers hide what is before them."""
    torch.manual_seed(0)
    module = task.build_module()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return module


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


# -- phases


@pytest.mark.parametrize(
    ("done", "phase"),
    [
        (0.0, "reconstruction"),
        (0.19, "reconstruction"),
        (0.2, "kl"),
        (0.39, "kl"),
        (0.4, "classes"),
        (0.6, "adversarial"),
        (0.99, "adversarial"),
    ],
)
def test_phases_begin_where_the_recipe_says(dataset: Dataset, done: float, phase: str) -> None:
    task = make(dataset)
    assert isinstance(task, PhasedTask)
    assert task.phase_at(done) == phase


@pytest.mark.parametrize(
    ("done", "counting"),
    [
        (0.0, IMAGE_LOSSES),
        (0.15, IMAGE_LOSSES),
        (0.3, IMAGE_LOSSES | {"kl"}),
        (0.5, IMAGE_LOSSES | {"kl", "classifier", "centre"}),
        (0.9, IMAGE_LOSSES | {"kl", "classifier", "centre"} | GAN_LOSSES),
    ],
)
def test_each_loss_counts_and_is_told_from_its_phase_on(
    dataset: Dataset, done: float, counting: set[str]
) -> None:
    task = make(dataset)
    losses = task.losses(module_of(task), batch_of(task, done))
    weights = task.config.weights_at(done)
    assert set(losses) - {"loss"} == set(weights) == counting
    total = sum(weights[name] * losses[name].item() for name in counting)
    assert losses["loss"].item() == pytest.approx(total, rel=1e-5)
    assert all(value.ndim == 0 and value.dtype == torch.float32 for value in losses.values())


@pytest.mark.parametrize(
    ("name", "begins", "full"),
    [
        ("kl", 0.2, 1e-3),
        ("classifier", 0.4, 0.02),
        ("centre", 0.4, 0.01),
        ("adversarial", 0.6, 0.02),
    ],
)
def test_weights_are_zero_before_their_phase_and_ramp_up_in_it(name: str, begins: float, full: float) -> None:
    config: Config = kind_config("tasks", {**SETTINGS, f"{name}_weight": full})
    assert name not in config.weights_at(begins - 0.05)
    assert name not in config.weights_at(begins)
    assert config.weights_at(begins + 0.025)[name] == pytest.approx(0.25 * full)
    assert config.weights_at(begins + 0.1)[name] == pytest.approx(full)
    assert config.weights_at(0.999)[name] == full


def test_the_discriminator_starts_at_full_strength() -> None:
    config: Config = kind_config("tasks", {**SETTINGS, "r1_weight": 4.0})
    weights = config.weights_at(0.601)
    assert (weights["discriminator"], weights["gradient_penalty"]) == (1.0, 2.0)


def test_without_a_ramp_a_phase_is_there_at_once_and_one_at_1_never_comes() -> None:
    phases = {"kl": 0.5, "classes": 1.0, "adversarial": 1.0}
    config: Config = kind_config("tasks", {**SETTINGS, "ramp": 0.0, "phases": phases})
    assert config.weights_at(0.501)["kl"] == config.kl_weight
    assert set(config.weights_at(0.999)) == IMAGE_LOSSES | {"kl"}


def test_phases_out_of_order_are_refused() -> None:
    with pytest.raises(UsageError, match="in the order kl, classes, adversarial"):
        kind_config("tasks", {**SETTINGS, "phases": {"kl": 0.5, "classes": 0.3}})


# -- the losses


class Known(nn.Module):
    """Encodes everything to known moments and decodes everything to `pixel`."""

    def __init__(self, mean: float, log_variance: float, pixel: float) -> None:
        super().__init__()
        self.mean, self.log_variance, self.pixel = mean, log_variance, pixel

    def encode(self, images: Tensor) -> LatentMoments:
        z = torch.ones(len(images), 6)
        return LatentMoments(z * self.mean, z * self.log_variance)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.full((len(latents), 3, 16, 16), self.pixel)


def test_the_losses_are_the_stated_ones(dataset: Dataset) -> None:
    task = make(dataset, l1_weight=2.0, mse_weight=3.0)
    module = module_of(task)
    module.autoencoder = Known(mean=0.5, log_variance=-2.0, pixel=0.2)
    batch = {**batch_of(task, 0.5, 4), "images": torch.full((4, 3, 16, 16), 255, dtype=torch.uint8)}
    losses = task.losses(module, batch)
    assert losses["reconstruction"].item() == pytest.approx(2 * 0.8 + 3 * 0.64, rel=1e-5)
    assert losses["kl"].item() == pytest.approx(0.5 * (0.25 + math.exp(-2) - 1 + 2), rel=1e-5)


def test_unknown_classes_count_nothing_and_the_others_keep_their_weight(dataset: Dataset) -> None:
    task = make(dataset)  # every third face's smile is unknown
    module: Any = module_of(task)
    batch = batch_of(task, 0.5)
    assert batch["classes"].tolist() == [1, 0, 2, 1, 0, 2]
    latents = module["autoencoder"].encode(batch["images"].float() / 127.5 - 1).mean
    entropy, _ = module["class_head"].losses(latents, batch["classes"])
    share = sum(number != 2 for number in task._numbers.tolist()) / 11
    assert task.losses(module, batch)["classifier"].item() == pytest.approx(
        entropy.mean().item() / share, rel=1e-4
    )


def test_no_class_column_means_no_class_losses_and_no_class_head(dataset: Dataset) -> None:
    task = make(dataset, class_column=None)
    module: Any = task.build_module()
    assert set(module) == {"autoencoder", "discriminator"}
    assert set(task.losses(module, batch_of(task, 0.9))) == IMAGE_LOSSES | {"loss", "kl"} | GAN_LOSSES
    assert "class_accuracy" not in task.validate(module, "cpu")


def test_a_class_column_of_names_will_do(dataset: Dataset) -> None:
    task = make(dataset, class_column="age_group")
    assert task.classes == ("young", "old")
    module: Any = task.build_module()
    assert module["class_head"].centres.shape == (2, 6)


def test_the_generators_losses_and_the_discriminators_share_no_gradient(dataset: Dataset) -> None:
    task = make(dataset, phases={"kl": 0.0, "classes": 0.0, "adversarial": 0.0})
    module, batch = module_of(task), batch_of(task, 0.9)
    weights = task.config.weights_at(0.9)
    ours, theirs = (
        {name for name, _ in module.named_parameters() if name.startswith("discriminator") is wanted}
        for wanted in (False, True)
    )
    for name in weights:
        module.zero_grad()
        task.losses(module, batch)[name].backward()
        touched = {key for key, value in gradients(module).items() if value.abs().sum() > 0}
        if name in ("discriminator", "gradient_penalty"):
            assert touched
            assert touched <= theirs, name
        else:
            assert touched
            assert touched <= ours, name


def test_one_backward_pass_gives_each_side_its_own_gradient(dataset: Dataset) -> None:
    task = make(dataset)
    module, batch = module_of(task), batch_of(task, 0.9)
    task.losses(module, batch)["loss"].backward()
    together = gradients(module)
    assert set(together) == {name for name, _ in module.named_parameters()}
    weights = task.config.weights_at(0.9)
    for of_discriminator in (False, True):
        module.zero_grad()
        losses = task.losses(module, batch)
        names = [n for n in weights if (n in ("discriminator", "gradient_penalty")) is of_discriminator]
        torch.stack([weights[name] * losses[name] for name in names]).sum().backward()
        for name, gradient in gradients(module).items():
            torch.testing.assert_close(gradient, together[name], atol=1e-6, rtol=1e-4)


def test_before_the_gan_phase_the_discriminator_is_not_touched(dataset: Dataset) -> None:
    task = make(dataset)
    module = module_of(task)
    task.losses(module, batch_of(task, 0.5))["loss"].backward()
    assert not any(name.startswith("discriminator") for name in gradients(module))


@pytest.mark.parametrize("done", [0.1, 0.5, 0.9])
def test_micro_batches_add_up_to_the_whole_batch(dataset: Dataset, done: float) -> None:
    task = make(dataset)
    module, batch = module_of(task), batch_of(task, done, 7)
    whole = task.losses(module, batch)
    whole["loss"].backward()
    expected = gradients(module)
    module.zero_grad()
    sums: dict[str, float] = {}
    for start, stop in ((0, 3), (3, 4), (4, 7)):
        piece, share = {name: value[start:stop] for name, value in batch.items()}, (stop - start) / 7
        losses = task.losses(module, piece)
        (losses["loss"] * share).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + share * value.item()
    assert sums == pytest.approx({name: value.item() for name, value in whole.items()}, rel=1e-4, abs=1e-6)
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-3)


def test_losses_depend_on_module_and_batch_alone(dataset: Dataset) -> None:
    task = make(dataset)
    module, batch = module_of(task), batch_of(task, 0.9)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    first, again = task.losses(module, batch), task.losses(module, batch)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_the_perceptual_network_is_not_part_of_the_module(dataset: Dataset) -> None:
    names = {name.split(".")[0] for name in make(dataset).build_module().state_dict()}
    assert names == {"autoencoder", "discriminator", "class_head"}


# -- data and validation


def test_a_batch_follows_from_indices_and_draws_alone(dataset: Dataset) -> None:
    task = make(dataset, {"flip": True})
    first, again = (task.batch(torch.tensor([3, 1]), draws_of(2, 5)) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["noise"].shape == (2, 6)
    assert first["images"].dtype == torch.uint8


def test_validation_tells_psnr_classes_and_a_loss_that_no_phase_changes(dataset: Dataset) -> None:
    task = make(dataset)
    module = module_of(task)
    scores = task.validate(module, "cpu")
    assert scores == task.validate(module, "cpu")
    assert module.training
    assert scores["loss"] == pytest.approx(scores["reconstruction"] + 0.1 * scores["perceptual"])
    assert scores["class_majority"] == 0.5  # of five held-out faces four have a known smile, two and two
    assert 0 <= scores["class_accuracy"] <= 1
    assert "dB PSNR on 5 held-out images" in scores["verdict"]
    assert "always the commonest: 50.0%" in scores["verdict"]


def test_a_right_latent_classifier_is_told_as_one(dataset: Dataset) -> None:
    task = make(dataset, class_column="age_group")
    module: Any = module_of(task)
    truth = task._held_out

    class Told(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return nn.functional.one_hot(truth, 2).float()

    module.class_head = Told()
    assert task.validate(module, "cpu")["class_accuracy"] == 1.0


def test_a_few_steps_lower_every_loss_of_the_autoencoder(dataset: Dataset) -> None:
    torch.manual_seed(0)
    task = make(dataset, phases={"kl": 0.0, "classes": 0.0, "adversarial": 1.0}, kl_weight=0.1)
    module = task.build_module()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    history = []
    for step in range(40):
        batch = task.batch(torch.arange(8), draws_of(8, step))
        losses = task.losses(module, {**batch, "done": torch.full((8,), 0.5)})
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    for name in ("loss", "reconstruction", "perceptual", "classifier"):
        assert history[-1][name] < 0.9 * history[0][name], name


def test_asking_for_the_shape_does_not_disturb_the_seed(dataset: Dataset) -> None:
    torch.manual_seed(0)
    make(dataset)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def test_what_does_not_fit_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"16 pixels a side, not 8"):
        make(write_dataset(tmp_path / "small", size=8))
    with pytest.raises(UsageError, match=r"task.class_column.*Did you mean 'Smiling'"):
        make(dataset, class_column="Smilin")
    with pytest.raises(DataError, match="no images in split 'dev'"):
        make(dataset, {"validation_split": "dev"})
    with pytest.raises(UsageError, match="random_vgg16 or classifier:RUN"):
        make(dataset, perceptual={"network": "vgg19"})
    with pytest.raises(UsageError, match="weights belong to the network 'vgg16'"):
        make(dataset, perceptual={"network": "random_vgg16", "weights": "vgg16.pth"})
    with pytest.raises(UsageError, match="layers belong to a network by name"):
        make(dataset, perceptual={"layers": ["block1"]})


def test_a_column_without_any_known_class_is_refused(tmp_path: Path) -> None:
    from facegen.formats.dataset import DatasetSplit

    dataset = write_dataset(tmp_path / "data")
    split: DatasetSplit = dataset.split("train")
    split.frame["Smiling"] = split.frame["Smiling"].where(split.frame["Smiling"].isna())
    with pytest.raises(DataError, match=r"known class in column 'Smiling'[\s\S]*class_column=null"):
        make(dataset)
