"""VAE-GAN, its vectors, diffusion over them, faces of a class: presets `vae-gan` and `vector-diffusion`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_dataset
from typer.testing import CliRunner, Result

from facegen.autoencoders import load_autoencoder
from facegen.cli.app import app
from facegen.config.composition import compose
from facegen.encoding.encode import EncodeOptions, encode
from facegen.errors import Terminated, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.images import to_unit
from facegen.formats.latents import LatentStore
from facegen.formats.run import RunDirectory
from facegen.models.loading import load
from facegen.progress import SilentProgress
from facegen.training.train import train
from facegen.training.trainer import Trainer, build_seeded
from facegen.training.wiring import count_parameters, wire_task
from facegen.types import PromptReading

TINY = [
    "autoencoder.image_size=16",
    "autoencoder.latent_dim=6",
    "autoencoder.widths=[8, 16]",
    "task.discriminator_widths=[8, 8]",
    "task.perceptual.downscale=1",
    "training.precision=fp32",
]
COUNTS = {"train": 24, "validation": 8}


def vae_gan(data: Path, *overrides: str) -> Any:
    return compose("vae-gan", overrides=[f"data.path={data}", *TINY, *overrides], size="smoke")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("s2") / "data", COUNTS).folder


@pytest.fixture(scope="module")
def autoencoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("s2-vae") / "run"
    train(vae_gan(data), run, progress=SilentProgress(), device="cpu")
    return run


@pytest.fixture(scope="module")
def latents(data: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("s2-latents") / "latents"
    encode(data, str(autoencoder), out, EncodeOptions(flips=True, device="cpu"), SilentProgress())
    return out


@pytest.fixture(scope="module")
def vectors(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("s2-vectors") / "run"
    recipe = compose("vector-diffusion", overrides=[f"data.path={latents}"], size="smoke")
    train(recipe, run, progress=SilentProgress(), device="cpu")
    return run


def command(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def all_tensors(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(run, "latest")
    optimizer = checkpoint.training_state()["optimizer"]["state"]
    moments = {f"{n}.{key}": value for n, values in optimizer.items() for key, value in values.items()}
    return {
        **checkpoint.weights("model"),
        **{f"ema.{k}": v for k, v in checkpoint.weights().items()},
        **moments,
    }


# -- the VAE-GAN


def test_the_preset_has_the_systems_parts_at_a_size_a_cpu_trains(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {"train": 4, "validation": 4}, size=64)
    task = wire_task(compose("vae-gan", overrides=[f"data.path={dataset.folder}"])).task
    module: Any = build_seeded(task.build_module, 0)
    assert 3e6 < count_parameters(module) < 8e6
    moments = module["autoencoder"].encode(torch.zeros(1, 3, 64, 64))
    assert moments.mean.shape == moments.log_variance.shape == (1, 256)
    assert module["class_head"].centres.shape == (2, 256)
    assert (
        sum(isinstance(m, torch.nn.Conv2d) and m.stride == (2, 2) for m in module["discriminator"].modules())
        == 4
    )
    decoder = module["autoencoder"].decoder
    assert sum(isinstance(m, torch.nn.ConvTranspose2d) for m in decoder.modules()) == 4
    kinds = {type(m).__name__ for m in module["autoencoder"].encoder.modules()}
    assert {"ResidualDown", "SpatialAttention"} <= kinds


def test_a_run_logs_each_loss_from_its_phase_on(data: Path, tmp_path: Path) -> None:
    recipe = vae_gan(data, "training.max_steps=8", "training.log_every_steps=1", "task.ramp=0.0")
    train(recipe, tmp_path / "run", progress=SilentProgress(), device="cpu")
    begun: dict[str, int] = {}
    for record in RunDirectory(tmp_path / "run").metrics():
        if record["group"] == "train":
            for name in record:
                begun.setdefault(name, record["step"])
    steps = [begun[name] for name in ("reconstruction", "perceptual", "kl", "classifier", "centre")]
    assert steps == [1, 1, 2, 4, 4]  # 8 steps; a phase that begins at 0.1, 0.3 of the run
    assert begun["adversarial"] == begun["discriminator"] == begun["gradient_penalty"] == 6


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_run_stopped_in_any_phase_resumes_to_the_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    recipe = vae_gan(
        data, "training.max_steps=7", "training.log_every_steps=4", "training.preview_every_steps=7"
    )
    train(recipe, tmp_path / "whole", progress=SilentProgress(), device="cpu")
    plain = Trainer._train_step

    def stopping(self: Trainer, batch: Any) -> Any:
        if self.step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(Terminated):
            train(recipe, tmp_path / "parts", progress=SilentProgress(), device="cpu")
    train(recipe, tmp_path / "parts", resume=True, progress=SilentProgress(), device="cpu")
    whole, parts = all_tensors(tmp_path / "whole"), all_tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    logs = [
        [{k: v for k, v in r.items() if k != "images_per_second"} for r in RunDirectory(run).metrics()]
        for run in (tmp_path / "whole", tmp_path / "parts")
    ]
    assert logs[0] == logs[1]


def test_accumulation_makes_the_same_step(data: Path, tmp_path: Path) -> None:
    weights = []
    for name, pieces in (("one", 1), ("three", 3)):
        recipe = vae_gan(
            data,
            "task.phases={kl: 0, classes: 0, adversarial: 0}",
            "task.ramp=0.0",
            "training.max_steps=2",
            f"training.accumulation_steps={pieces}",
            "optimizer.eps=1e-3",  # Adam alone turns rounding of tiny gradients into whole steps
        )
        train(recipe, tmp_path / name, progress=SilentProgress(), device="cpu")
        weights.append(load_checkpoint(tmp_path / name, "latest").weights("model"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=1e-5, rtol=1e-4)


def test_previews_show_images_beside_their_reconstructions(autoencoder: Path) -> None:
    assert RunDirectory(autoencoder).sample_file(4).is_file()


def test_the_class_centres_are_kept_in_the_checkpoint(autoencoder: Path) -> None:
    for which in ("model", "ema"):
        weights = load_checkpoint(autoencoder).weights(which)
        assert weights["class_head.centres"].shape == (2, 6)


# -- its vectors


def test_the_run_is_an_autoencoder_without_its_discriminator(autoencoder: Path, tmp_path: Path) -> None:
    loaded = load_autoencoder(autoencoder)
    averaged = load_checkpoint(autoencoder).weights("ema")
    assert loaded.kind == "vae_gan"
    for name, value in loaded.module.state_dict().items():
        assert torch.equal(value, averaged[f"autoencoder.{name}"])
    loaded.save(tmp_path / "copy")
    assert load_autoencoder(tmp_path / "copy").fingerprint == loaded.fingerprint


def test_encoding_gives_vectors_scaled_entry_by_entry_with_flips(
    data: Path, autoencoder: Path, latents: Path
) -> None:
    from facegen.formats.dataset import Dataset

    store = LatentStore.open(latents, verify=True)
    assert store.index.sample_shape == (6,)
    assert len(store.index.scaling.shift) == len(store.index.scaling.scale) == 6
    split = store.split("train")
    images = to_unit(Dataset.open(data).split("train").images(range(4)))
    with torch.no_grad():
        module = load_autoencoder(autoencoder).module
        plain, flipped = module.encode(images).mean, module.encode(images.flip(-1)).mean
    rows = torch.arange(4)
    torch.testing.assert_close(split.gather(rows).mean, plain, atol=2e-3, rtol=2e-3)
    mirrored = split.gather(rows, torch.ones(4, dtype=torch.bool)).mean
    torch.testing.assert_close(mirrored, flipped, atol=2e-3, rtol=2e-3)
    every = split.gather(torch.arange(len(split)))
    scaled = store.index.scaling.apply(every.mean)
    variance = scaled.var(0, correction=0) + (
        every.log_variance.exp() * torch.tensor(store.index.scaling.scale).square()
    ).mean(0)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(variance, torch.ones(6), atol=1e-2, rtol=0)


def test_images_of_another_size_are_refused_by_encode(autoencoder: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "small", {"train": 2}, size=8).folder
    with pytest.raises(UsageError, match="16 pixels a side, not 8"):
        encode(other, str(autoencoder), tmp_path / "out", EncodeOptions(device="cpu"), SilentProgress())


def test_a_denoiser_of_images_refuses_vectors(latents: Path, tmp_path: Path) -> None:
    recipe = compose("celeba-attributes", overrides=[f"data.path={latents}"], size="smoke")
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\), not \(6,\)"):
        train(recipe, tmp_path / "run", progress=SilentProgress(), device="cpu")


# -- diffusion over them


def test_faces_of_a_class_by_name_and_count_from_python(vectors: Path) -> None:
    generator = load(vectors, device="cpu")
    settings = generator.sampling
    faces = {}
    for name in ("Smiling", "Not_Smiling"):
        inputs = generator.inputs_for(PromptReading({name: 1.0}), count=3)
        faces[name] = generator.generate(inputs, seeds=range(3), settings=settings)
        assert faces[name].shape == (3, 3, 16, 16)
        assert faces[name].dtype == torch.uint8
    again = generator.generate(
        generator.inputs_for(PromptReading({"Smiling": 1.0}), count=1), seeds=[1], settings=settings
    )
    assert torch.equal(again[0], faces["Smiling"][1])  # the seed makes the face, not the batch


def test_guidance_tells_the_classes_apart(vectors: Path) -> None:
    """After four steps the network hardly tells them; with its weights shaken it must."""
    generator = load(vectors, device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in generator.module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    settings = generator.sampling

    def last_x0(name: str, scale: float) -> torch.Tensor:
        inputs = generator.inputs_for(PromptReading({name: 1.0}), count=2)
        steps = generator.trajectory(inputs, range(2), settings.model_copy(update={"guidance_scale": scale}))
        return list(steps)[-1].x0

    apart = [(last_x0("Smiling", s) - last_x0("Not_Smiling", s)).abs().mean() for s in (1.0, 4.0)]
    assert 0 < apart[0] < apart[1]


@pytest.mark.parametrize(
    ("request_words", "understood"),
    [
        (["--class", "Smiling"], "Smiling"),
        (["--class", "Not_Smiling"], "Not_Smiling"),
        (["--prompt", "a smiling face"], "smiling"),
    ],
)
def test_a_class_is_asked_for_on_the_command_line(
    vectors: Path, tmp_path: Path, request_words: list[str], understood: str
) -> None:
    out = tmp_path / "faces"
    result = command("sample", str(vectors), *request_words, "--count", "2", "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    assert understood in json.dumps(json.loads(result.stdout))
    assert len([path for path in out.glob("*.png") if path.name != "grid.png"]) == 2


def test_an_unknown_class_is_refused_with_the_nearest(vectors: Path, tmp_path: Path) -> None:
    result = command("sample", str(vectors), "--class", "Smilin", "--out", str(tmp_path / "faces"))
    assert result.exit_code == 2
    assert "Did you mean 'Smiling'?" in result.stderr
