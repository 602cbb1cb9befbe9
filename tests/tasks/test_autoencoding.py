from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from support.draws import draws_of
from support.tiny_dataset import write_dataset
from support.training_parts import training_images
from torch import Tensor, nn

from facegen.autoencoders.compact import Config as CompactConfig
from facegen.autoencoders.identity import Config as IdentityConfig
from facegen.errors import DataError, UsageError
from facegen.tasks._reconstruction import peak_signal_to_noise
from facegen.tasks.autoencoding import AutoencodingTask, Config, build
from facegen.types import LatentMoments

COMPACT = CompactConfig(latent_channels=4, widths=(8, 16), encoder_blocks=1, decoder_blocks=1)


@pytest.fixture
def dataset(tmp_path: Path):
    return write_dataset(tmp_path / "data")


def make(dataset, config: Config | None = None, **data) -> AutoencodingTask:
    return build(config or Config(), training_images(dataset, COMPACT, **data))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Constant(nn.Module):
    """Encodes everything to known moments and decodes everything to `pixel`."""

    def __init__(self, mean: float, log_variance: float, pixel: float) -> None:
        super().__init__()
        self.mean, self.log_variance, self.pixel = mean, log_variance, pixel

    def encode(self, images: Tensor) -> LatentMoments:
        z = torch.ones(len(images), 4, 4, 4)
        return LatentMoments(z * self.mean, z * self.log_variance)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.full((len(latents), 3, 16, 16), self.pixel)


def test_the_loss_is_the_stated_sum(dataset) -> None:
    task = make(dataset, Config(l1_weight=2.0, mse_weight=3.0, kl_weight=0.5))
    batch = {"images": torch.full((2, 3, 16, 16), 255, dtype=torch.uint8), "noise": torch.zeros(2, 4, 4, 4)}
    losses = task.losses(Constant(mean=0.5, log_variance=-2.0, pixel=0.2), batch)
    kl = 0.5 * (0.25 + math.exp(-2) - 1 + 2)  # KL(N(0.5, e^-2) || N(0, 1))
    expected = {"l1": 0.8, "mse": 0.64, "kl": kl, "loss": 2 * 0.8 + 3 * 0.64 + 0.5 * kl}
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-5)


def test_the_latents_are_sampled_with_the_batchs_noise(dataset) -> None:
    task, module = make(dataset), make(dataset).build_module()
    batch = dict(task.batch(torch.arange(4), draws_of(4)))
    first = task.losses(module, batch)["loss"]
    assert torch.equal(first, task.losses(module, batch)["loss"])
    batch["noise"] = batch["noise"] + 1
    assert not torch.equal(first, task.losses(module, batch)["loss"])


def test_a_batch_follows_from_indices_and_draws_alone(dataset) -> None:
    task = make(dataset, flip=True)
    first, again = (task.batch(torch.tensor([3, 1]), draws_of(2, 5)) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["images"].dtype == torch.uint8
    assert first["noise"].shape == (2, 4, 4, 4)


def test_mirroring_happens_to_about_half_and_only_when_asked(dataset) -> None:
    indices = torch.zeros(200, dtype=torch.int64)
    plain = dataset.split("train").images([0])[0]
    assert all(
        torch.equal(image, plain) for image in make(dataset).batch(indices, draws_of(len(indices)))["images"]
    )
    images = make(dataset, flip=True).batch(indices, draws_of(len(indices)))["images"]
    mirrored = sum(torch.equal(image, plain.flip(-1)) for image in images)
    assert 70 < mirrored < 130
    assert mirrored + sum(torch.equal(image, plain) for image in images) == 200


def test_validation_measures_psnr_on_held_out_images_beside_the_mean_image(dataset) -> None:
    task = make(dataset)
    scores = task.validate(Constant(0.0, 0.0, 0.0), "cpu")
    images = dataset.split("validation").images(range(5)).double()
    grey = (10 * torch.log10(255**2 / (images - 128).square().mean((1, 2, 3)))).mean().item()
    floor = (
        (10 * torch.log10(255**2 / (images - images.mean(0).round()).square().mean((1, 2, 3)))).mean().item()
    )
    assert scores["psnr"] == pytest.approx(grey, abs=1e-4)
    assert scores["mean_image_psnr"] == pytest.approx(floor, abs=1e-4)
    assert "not a useful autoencoder yet" in scores["verdict"]


def test_validation_repeats_exactly_and_leaves_the_mode_alone(dataset) -> None:
    task = make(dataset)
    module = task.build_module()
    assert task.validate(module, "cpu") == task.validate(module, "cpu")
    assert module.training


def test_a_perfect_autoencoder_is_called_one(dataset) -> None:
    task = build(Config(), training_images(dataset, IdentityConfig()))
    scores = task.validate(task.build_module(), "cpu")
    assert scores["psnr"] == 99.0
    assert scores["l1"] == pytest.approx(0.0, abs=1e-6)
    assert "not a useful" not in scores["verdict"]


def test_a_few_steps_lower_the_loss(dataset) -> None:
    torch.manual_seed(0)
    task = make(dataset)
    module = task.build_module()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        batch = task.batch(torch.arange(8), draws_of(8, step))
        loss = task.losses(module, batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_asking_for_the_shape_does_not_disturb_the_seed(dataset) -> None:
    torch.manual_seed(0)
    make(dataset)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def test_a_limit_shortens_the_training_part(dataset) -> None:
    assert make(dataset).num_examples == 11
    assert make(dataset, limit=3).num_examples == 3


def test_sizes_that_do_not_divide_are_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "odd", size=18)
    with pytest.raises(UsageError, match=r"18 pixels do not divide .* factor 4[\s\S]*--size 16"):
        make(dataset)


def test_an_unknown_split_is_named(dataset) -> None:
    with pytest.raises(DataError, match="no images in split 'dev'"):
        make(dataset, validation_split="dev")


def test_psnr_of_known_differences() -> None:
    a = torch.zeros(2, 3, 4, 4)
    b = torch.stack([torch.full((3, 4, 4), 255.0), torch.full((3, 4, 4), 25.5)])
    assert peak_signal_to_noise(a, b).tolist() == pytest.approx([0.0, 20.0])
