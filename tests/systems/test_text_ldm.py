"""The text-ldm preset from CelebA-HQ's layout to judged faces, by its commands; and what it promises."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.celeba_hq_source import write_celeba_hq, write_celeba_tables
from support.sd_autoencoder import NUM_PARAMETERS, sd_autoencoder  # noqa: F401
from support.tiny_text_encoder import TOKEN_DIM, tiny_text_encoder  # noqa: F401
from torch import nn
from typer.testing import CliRunner, Result

from facegen.autoencoders import load_autoencoder
from facegen.autoencoders.kl import build as build_kl
from facegen.cli.app import app
from facegen.compat import guard_torchvision
from facegen.conditioners import _text_encoder
from facegen.config.composition import compose
from facegen.config.kinds import kind_config, load_kind
from facegen.encoding.encode import EncodeOptions, encode
from facegen.errors import Terminated
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints
from facegen.formats.latents import LatentStore
from facegen.models.generator import FaceGenerator
from facegen.models.loading import load
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress
from facegen.tasks.attribute_classification import build_network as build_classifier
from facegen.training.history import RunHistory
from facegen.training.train import train
from facegen.training.trainer import Trainer
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

CLIP = ConditioningSpec(vector_dim=512, token_dim=512, num_tokens=77)


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    return result


def smoke(text_encoder: Path, latents: Path) -> Any:
    overrides = [f"conditioner.encoder={text_encoder}", f"data.path={latents}"]
    return compose("text-ldm", overrides=overrides, size="smoke")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `celeba` (40 crafted images of CelebAMask-HQ's layout, prepared at 32x32)."""
    root = tmp_path_factory.mktemp("text-ldm")
    write_celeba_hq(root / "CelebAMask-HQ", 40)
    write_celeba_tables(root / "CelebA", 40)
    run("prepare", "celeba-hq", f"{root / 'CelebAMask-HQ'}", "--size", "32", "--out", f"{root / 'data'}",
        "--labels", f"{root / 'CelebA'}",
        "--splits", "0.5,0.5,0", "--workers", "1")  # fmt: skip
    return root


@pytest.fixture(scope="module")
def latents(data: Path, tiny_text_encoder: Path) -> Path:  # noqa: F811
    """Encoded with a tiny random `AutoencoderKL` of diffusers' layout, captions embedded."""
    torch.manual_seed(0)
    config = kind_config(
        "autoencoders",
        {"kind": "kl", "block_out_channels": (8, 8, 16), "layers_per_block": 1, "norm_num_groups": 4},
    )
    kl = build_kl(config)
    kl.model.save_pretrained(data / "kl")
    run("encode", f"{data / 'data'}", "--autoencoder", f"{data / 'kl'}", "--text-encoder",
        f"{tiny_text_encoder}", "--out", f"{data / 'latents'}", "--device", "cpu")  # fmt: skip
    return data / "latents"


@pytest.fixture(scope="module")
def trained(data: Path, latents: Path, tiny_text_encoder: Path) -> Path:  # noqa: F811
    encoder = f"conditioner.encoder={tiny_text_encoder}"
    run("train", "--preset", "text-ldm", "--size", "smoke", "--data", f"{latents}", "--set", encoder,
        "--run", f"{data / 'run'}", "--device", "cpu")  # fmt: skip
    return data / "run"


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the text encoder fails."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the text encoder was loaded although its embeddings are cached")

    monkeypatch.setattr("facegen.conditioners.text.TextEncoder", refuse)
    monkeypatch.setattr(_text_encoder, "TextEncoder", refuse)


def test_the_preset_is_what_the_system_says() -> None:
    recipe = compose("text-ldm")
    assert recipe.conditioner is not None
    assert recipe.conditioner["encoder"] == "openai/clip-vit-base-patch32"
    assert recipe.conditioner["dropout"] == 0.1
    assert (recipe.diffusion.parameterisation, recipe.diffusion.schedule) == ("eps", "squared_cosine")
    assert recipe.diffusion.num_timesteps == 1000
    assert (recipe.optimizer.lr, recipe.training.batch_size, recipe.training.epochs) == (1e-5, 32, 100)
    assert recipe.training.checkpoint_every_epochs == 10
    assert RunHistory(recipe, 24_183).num_steps == 75_572


def test_celeba_hq_is_prepared_with_identities_kept_together(data: Path) -> None:
    manifest = json.loads((data / "data" / "dataset.json").read_text())
    assert any("CelebA's identities from" in line for line in manifest["read_as"])
    assert any("split by identity" in note for note in manifest["notes"])


def test_captions_are_embedded_once_when_encoding(latents: Path) -> None:
    texts = LatentStore.open(latents).text_embeddings
    assert texts is not None
    assert texts.captions[0] == ""
    assert texts.tokens.shape[::2] == (len(texts.captions), TOKEN_DIM)


def test_training_uses_the_cached_embeddings(
    latents: Path,
    tiny_text_encoder: Path,  # noqa: F811
    tmp_path: Path,
    no_encoder: None,
) -> None:
    recipe = smoke(tiny_text_encoder, latents)
    train(recipe, tmp_path / "run", device="cpu")
    assert list_checkpoints(tmp_path / "run")[-1].name == "step-00000004"


def test_a_resumed_smoke_run_equals_the_uninterrupted_one(
    trained: Path,
    latents: Path,
    tiny_text_encoder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = smoke(tiny_text_encoder, latents)
    step_of = Trainer._train_step

    def stopping(self: Trainer, batch: Any) -> Any:
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step_of(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(Terminated):
            train(recipe, tmp_path / "run", device="cpu")
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == ["step-00000002"]
    train(recipe, tmp_path / "run", resume=True, device="cpu")
    for weights in ("model", "ema"):
        whole, parts = (load_checkpoint(folder).weights(weights) for folder in (trained, tmp_path / "run"))
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_faces_are_drawn_for_a_prompt(trained: Path, tmp_path: Path) -> None:
    shown = run("sample", f"{trained}", "--prompt", "a smiling woman with blond hair", "--count", "2",
                "--guidance", "7.5", "--device", "cpu", "--out", f"{tmp_path / 'faces'}")  # fmt: skip
    assert len(json.loads(shown.stdout)["paths"]) == 2
    assert len(list((tmp_path / "faces").glob("seed-*.png"))) == 2


def test_faces_are_judged_by_fid_and_attribute_consistency(data: Path, trained: Path) -> None:
    folders = {name: f"{data / name}" for name in ("data", "judge")}
    run("train", "--preset", "attribute-classifier", "--size", "smoke", "--data", folders["data"],
        "--run", folders["judge"], "--device", "cpu")  # fmt: skip
    fid = run("eval", "fid", f"{trained}", "--reference", folders["data"], "--features",
              f"classifier:{folders['judge']}", "--num-samples", "16", "--device", "cpu")  # fmt: skip
    assert json.loads(fid.stdout)["scores"]["fid"]["value"] >= 0
    agreement = run("eval", "attributes", f"{trained}", "--classifier", folders["judge"], "--data",
                    folders["data"], "--num-samples", "16", "--device", "cpu")  # fmt: skip
    assert json.loads(agreement.stdout)["num_samples"] == 16


def generator_with_shaken_weights(trained: Path) -> FaceGenerator:
    """Four steps teach next to nothing: noise on the weights brings the condition to light."""
    generator = load(trained, "cpu")
    torch.manual_seed(0)
    for parameter in generator.module.parameters():
        nn.init.normal_(parameter, std=0.1)
    return generator


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 50.0])
def test_guidance_of_any_scale_is_one_doubled_batch_a_step(
    trained: Path, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = generator_with_shaken_weights(trained)
    rows: list[int] = []
    network: Any = type(generator.network)
    forward = network.forward

    def counting(self: Any, x_t: torch.Tensor, *arguments: Any) -> torch.Tensor:
        rows.append(len(x_t))
        return forward(self, x_t, *arguments)

    monkeypatch.setattr(network, "forward", counting)
    settings = generator.sampling.model_copy(update={"guidance_scale": scale, "steps": 3})
    step = None
    for step in generator.trajectory(generator.inputs_for(generator.read("a man"), 2), [0, 1], settings):
        assert step.x0.isfinite().all()
    assert step is not None
    assert len(rows) == 3 * rows_of_calls(rows, guided=scale != 1.0)
    assert generator.decode(step.x0).shape == (2, 3, 32, 32)


def rows_of_calls(rows: list[int], *, guided: bool) -> int:
    """Calls a step: as many as two conditions of two images need at this fixed number of rows."""
    return -(-(4 if guided else 2) // rows[0])


def test_the_prompt_the_negative_and_the_scale_all_change_the_face(trained: Path) -> None:
    generator = generator_with_shaken_weights(trained)

    def face(prompt: str, scale: float, negative: str | None = None) -> torch.Tensor:
        settings = generator.sampling.model_copy(update={"guidance_scale": scale})
        against = None if negative is None else generator.inputs_for(generator.read(negative))
        step = list(
            generator.trajectory(generator.inputs_for(generator.read(prompt)), [3], settings, against)
        )
        return step[-1].x0

    first = face("a man", 3.0)
    assert torch.equal(first, face("a man", 3.0))
    for other in (face("a woman", 3.0), face("a man", 6.0), face("a man", 3.0, "a hat")):
        assert not torch.allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp_2m", "heun", "euler"])
def test_every_sampler_walks_its_squared_cosine_path(trained: Path, sampler: str) -> None:
    generator = load(trained, "cpu")
    settings = generator.sampling.model_copy(update={"sampler": {"kind": sampler}, "steps": 4})
    images = generator.generate(generator.inputs_for(generator.read("a man")), [0], settings)
    assert images.shape == (1, 3, 32, 32)


def test_latents_of_the_true_stable_diffusion_autoencoder_fit_the_90_million_network(
    data: Path,
    sd_autoencoder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    module = load_autoencoder(sd_autoencoder).module
    assert sum(parameter.numel() for parameter in module.parameters()) == NUM_PARAMETERS
    source = data / "CelebAMask-HQ"
    prepare(
        "celeba-hq", source, tmp_path / "data", PrepareOptions(size=64, workers=1, limit=2, splits=(1, 0, 0))
    )
    options = EncodeOptions(device="cpu")
    encode(tmp_path / "data", f"{sd_autoencoder}", tmp_path / "latents", options, SilentProgress())
    store = LatentStore.open(tmp_path / "latents")
    assert store.index.sample_shape == (4, 8, 8)
    denoiser = compose("text-ldm").section("denoiser")
    network = load_kind("denoisers", denoiser.kind).build(
        denoiser, SampleSpec(store.index.sample_shape), CLIP
    )
    assert 85e6 < sum(parameter.numel() for parameter in network.parameters()) < 95e6
    x0 = store.index.scaling.apply(store.split("train").gather(torch.arange(2)).mean)
    told = torch.randn(2, 7, 512)
    with torch.no_grad():
        answer = network(x0, torch.tensor([1.0, 999.0]), Conditioning(tokens=told))
    assert answer.shape == x0.shape
    assert answer.isfinite().all()


def test_the_attribute_classifier_has_the_convolutions_of_resnet_18() -> None:
    guard_torchvision()
    from transformers import ResNetConfig, ResNetModel

    recipe = compose("attribute-classifier", overrides=["task.widths=[64,128,256,512]"])
    network = build_classifier(recipe.section("task"), num_outputs=40, image_size=64)
    published = ResNetModel(
        ResNetConfig(
            layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], embedding_size=64
        )
    )
    assert convolutions(network.stages) == convolutions(published.encoder)


def convolutions(module: nn.Module) -> list[torch.Size]:
    return sorted(part.weight.shape for part in module.modules() if isinstance(part, nn.Conv2d))
