"""The attribute-ldm preset: what it promises, SD-1.5's latents, guidance or none, four attributes or all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.celeba_source import write_celeba
from support.sd_autoencoder import sd_autoencoder  # noqa: F401
from support.tiny_dataset import write_dataset
from typer.testing import CliRunner, Result

from facegen.autoencoders import load_autoencoder
from facegen.cli.app import app
from facegen.conditioners.attributes import AttributeConditioner
from facegen.config.composition import compose
from facegen.config.kinds import load_kind
from facegen.config.recipe import Recipe
from facegen.denoisers.attribute_unet import AttributeUNet
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.latents import LatentStore
from facegen.models.loading import load
from facegen.training.history import RunHistory
from facegen.types import LabelSchema, SampleSpec

FOUR = ("Smiling", "Male", "Young", "Eyeglasses")
FORTY = LabelSchema(attributes=tuple(f"attribute_{number}" for number in range(40)))
IMAGES = 162_770  # CelebA's official training part


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    return result


def network(recipe: Recipe, sample: SampleSpec) -> tuple[torch.nn.Module, torch.nn.Module]:
    condition, denoiser = recipe.section("conditioner"), recipe.section("denoiser")
    conditioner = load_kind("conditioners", condition.kind).build(condition, FORTY, sample)
    return conditioner, load_kind("denoisers", denoiser.kind).build(denoiser, sample, conditioner.spec)


def test_the_preset_is_what_the_system_says() -> None:
    recipe = compose("attribute-ldm")
    diffusion, optimizer, training = recipe.diffusion, recipe.optimizer, recipe.training
    assert (diffusion.parameterisation, diffusion.schedule, diffusion.weighting) == ("eps", "linear", "none")
    assert (diffusion.beta_start, diffusion.beta_end, diffusion.num_timesteps) == (1e-4, 0.02, 1000)
    assert (optimizer.kind, optimizer.lr, optimizer.lr_schedule) == ("adam", 1e-4, "constant")
    assert (training.batch_size, training.epochs, training.precision) == (64, 100, "auto")
    assert RunHistory(recipe, IMAGES).num_steps == 254_329
    denoiser = recipe.section("denoiser")
    assert (denoiser.base_channels, denoiser.num_heads, denoiser.time_dim) == (64, 4, 256)


def test_the_preset_gives_the_network_forty_tokens_of_256_features() -> None:
    conditioner, denoiser = network(compose("attribute-ldm"), SampleSpec((4, 32, 32)))
    told = conditioner(torch.ones(2, 40, dtype=torch.int8))
    assert told.tokens.shape == (2, 40, 256)
    assert told.vector is None, "attributes enter through attention alone"
    assert isinstance(denoiser, AttributeUNet)
    assert denoiser.vector_in is None
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == 5_060_388
    assert sum(parameter.numel() for parameter in conditioner.parameters()) == 40 * 3 * 256


def test_latents_of_stable_diffusions_autoencoder_train_and_decode(sd_autoencoder, tmp_path) -> None:  # noqa: F811
    assert load_autoencoder(sd_autoencoder).module.latent_shape(256) == (4, 32, 32)
    write_dataset(tmp_path / "data", {"train": 4, "validation": 2}, size=64)
    place = {name: str(tmp_path / name) for name in ("data", "latents", "run", "faces")}
    run("encode", place["data"], "--autoencoder", str(sd_autoencoder), "--scaling", "model",
        "--out", place["latents"], "--device", "cpu")  # fmt: skip
    index = LatentStore.open(tmp_path / "latents").index
    assert index.sample_shape == (4, 8, 8)
    assert index.scaling.scale == (0.18215,) * 4
    assert index.scaling.shift == (0.0,) * 4
    run("train", "--preset", "attribute-ldm", "--size", "smoke", "--data", place["latents"],
        "--run", place["run"], "--set", "training.preview_every_steps=null", "--device", "cpu")  # fmt: skip
    info = load_checkpoint(tmp_path / "run").info
    assert info.scaling == index.scaling
    run("sample", place["run"], "--prompt", "smiling", "--count", "1", "--out", place["faces"],
        "--device", "cpu")  # fmt: skip
    assert len(list((tmp_path / "faces").glob("seed-*.png"))) == 1


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on CelebA's layout that is told four of the attributes, as the system's demonstration was."""
    root = tmp_path_factory.mktemp("attribute-ldm")
    write_celeba(root / "celeba", 16)
    run("prepare", "celeba", str(root / "celeba"), "--size", "32", "--out", str(root / "data"),
        "--workers", "1")  # fmt: skip
    run("encode", str(root / "data"), "--autoencoder", "identity", "--out", str(root / "latents"),
        "--device", "cpu")  # fmt: skip
    run("train", "--preset", "attribute-ldm", "--size", "smoke", "--data", str(root / "latents"),
        "--run", str(root / "run"), "--set", f"conditioner.attributes=[{','.join(FOUR)}]",
        "--set", "conditioner.dropout=0", "--device", "cpu")  # fmt: skip
    return root / "run"


def test_the_demonstration_is_told_four_attributes_alone(demonstration: Path) -> None:
    generator = load(demonstration, "cpu")
    assert isinstance(generator.conditioner, AttributeConditioner)
    assert generator.conditioner.attributes == FOUR
    assert generator.conditioner.spec.num_tokens == 4
    words = ["sample", str(demonstration), "--attributes", "Bald=1", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "Bald" in result.stderr


def test_it_samples_without_and_with_guidance(demonstration: Path, tmp_path: Path) -> None:
    bytes_of = {}
    for guidance in ("1", "4"):
        out = tmp_path / guidance
        told = run("sample", str(demonstration), "--attributes", "Smiling=1,Eyeglasses=0", "--count", "1",
                   "--guidance", guidance, "--out", str(out), "--device", "cpu")  # fmt: skip
        (path,) = json.loads(told.stdout)["paths"]
        bytes_of[guidance] = Path(path).read_bytes()
    assert bytes_of["1"] != bytes_of["4"]


def test_best_and_last_checkpoints_carry_the_optimizer(demonstration: Path) -> None:
    checkpoint = load_checkpoint(demonstration)
    assert checkpoint.info.metrics["loss"] > 0
    assert checkpoint.training_state()["optimizer"]["state"]
