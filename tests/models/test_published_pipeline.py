"""Published pipelines come in: drawn by facegen, they are what diffusers draws of the same noise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.published_pipelines import (
    AS_FACEGEN,
    Saving,
    diffusers,
    save_class_pipeline,
    save_latent_pipeline,
    save_pixel_pipeline,
    save_text_pipeline,
    saved_once,
)
from torch import Tensor

import facegen
from facegen.errors import DataError, UsageError
from facegen.models.generator import FaceGenerator
from facegen.models.published_pipeline import INDEX_FILE

SEEDS = (3, 4)
STEPS = 5  # a divisor of 1,000: of others, diffusers' DDIM steps beside its own timesteps


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saving:
    return saved_once(tmp_path_factory.mktemp("pipelines"))


def opened(folder: Path, **scheduler: Any) -> tuple[FaceGenerator, Any]:
    """The same pipeline in facegen and in diffusers, whose scheduler takes other settings."""
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **scheduler)
    return facegen.load(folder, "cpu"), pipeline


def last_x0(generator: FaceGenerator, reading: str, **settings: Any) -> Tensor:
    """Where facegen's walk ends."""
    sampling = generator.sampling.model_copy(update={"steps": STEPS, **settings})
    inputs = generator.inputs_for(generator.read(reading), len(SEEDS))
    *_, last = generator.trajectory(inputs, SEEDS, sampling)
    return last.x0


def images_of(generator: FaceGenerator, x0: Tensor) -> Tensor:
    """Decoded, in [0, 1], as a pipeline gives them."""
    with torch.no_grad():
        return (generator.autoencoder.decode(generator.scaling.invert(x0)) / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("prompt", ["a smiling woman, blond hair", ""])
def test_a_text_pipeline_draws_what_diffusers_draws(saved, prompt: str) -> None:
    generator, pipeline = opened(saved(save_text_pipeline), **AS_FACEGEN)
    assert generator.sampling.sampler["kind"] == "ddim"
    assert generator.sampling.guidance_scale == 7.5
    noise = generator.noise(SEEDS)
    theirs = pipeline([prompt] * 2, latents=noise, num_inference_steps=STEPS, output_type="pt").images
    torch.testing.assert_close(images_of(generator, last_x0(generator, prompt)), theirs, rtol=0, atol=1e-4)
    unasked = images_of(generator, last_x0(generator, "hat"))
    assert (unasked - theirs).abs().max() > 1e-2, "the words count"


def test_a_text_pipeline_with_another_scheduler_is_walked_by_it(saved, tmp_path: Path) -> None:
    shutil.copytree(saved(save_text_pipeline), tmp_path / "text")
    _, pipeline = opened(tmp_path / "text")
    settings = {"timestep_spacing": "trailing", "final_sigmas_type": "zero", "lower_order_final": True}
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, **settings
    )
    pipeline.scheduler.save_pretrained(tmp_path / "text" / "scheduler")
    generator = facegen.load(tmp_path / "text", "cpu")
    assert generator.sampling.sampler["kind"] == "dpmpp_2m"
    noise = generator.noise(SEEDS)
    theirs = pipeline(["hat"] * 2, latents=noise, num_inference_steps=STEPS, output_type="pt").images
    torch.testing.assert_close(images_of(generator, last_x0(generator, "hat")), theirs, rtol=0, atol=1e-4)


def test_a_class_pipeline_draws_what_diffusers_draws(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, pipeline = opened(saved(save_class_pipeline), **AS_FACEGEN)
    assert generator.labels.classes["class"][:4] == ("young woman", "young man", "old woman", "3")
    noise = generator.noise(SEEDS)
    monkeypatch.setattr("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda **_: noise)
    theirs = pipeline([1, 1], num_inference_steps=STEPS, output_type="pt").images
    torch.testing.assert_close(
        images_of(generator, last_x0(generator, "young man")), theirs, rtol=0, atol=1e-4
    )
    with pytest.raises(UsageError, match="one class at a time"):
        generator.sample({"young man": 1, "old woman": 1}, steps=1)


def test_a_pixel_pipeline_draws_what_diffusers_draws(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, pipeline = opened(saved(save_pixel_pipeline), timestep_spacing="trailing")
    assert generator.sampling.steps == 1000
    assert generator.sampling.clip_x0 == 1.0
    draw = generator._noises(SEEDS)
    for place in ("pipelines.ddpm.pipeline_ddpm", "schedulers.scheduling_ddpm"):
        monkeypatch.setattr(f"diffusers.{place}.randn_tensor", lambda *_, **__: draw())
    theirs = torch.from_numpy(pipeline(2, num_inference_steps=STEPS, output_type="np").images).permute(
        0, 3, 1, 2
    )
    torch.testing.assert_close(images_of(generator, last_x0(generator, "")), theirs, rtol=0, atol=1e-4)


def test_the_older_layout_without_folders_is_read(saved, tmp_path: Path) -> None:
    folder = shutil.copytree(saved(save_pixel_pipeline), tmp_path / "flat")
    for part in ("unet", "scheduler"):
        for file in (folder / part).iterdir():
            file.rename(folder / file.name)
        (folder / part).rmdir()
    flat, usual = facegen.load(folder, "cpu"), facegen.load(saved(save_pixel_pipeline), "cpu")
    assert torch.equal(last_x0(flat, ""), last_x0(usual, ""))


def test_a_latent_pipeline_draws_what_diffusers_draws(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, pipeline = opened(saved(save_latent_pipeline), **AS_FACEGEN)
    assert generator.image_size == 16
    noise = generator.noise(SEEDS)
    where = f"{type(pipeline).__module__}.randn_tensor"
    monkeypatch.setattr(where, lambda *_, **__: noise.clone())
    theirs = torch.from_numpy(pipeline(2, num_inference_steps=STEPS, output_type="np").images).permute(
        0, 3, 1, 2
    )
    torch.testing.assert_close(images_of(generator, last_x0(generator, "")), theirs, rtol=0, atol=1e-4)


@pytest.fixture
def altered(saved, tmp_path: Path) -> Callable[..., Path]:
    """Copies a pipeline with other settings in one of its files."""

    def copy(save: Callable[[Path], Path], file: str, **changes: Any) -> Path:
        folder = shutil.copytree(saved(save), tmp_path / "altered")
        content = json.loads((folder / file).read_text("utf-8"))
        (folder / file).write_text(json.dumps(content | changes), "utf-8")
        return folder

    return copy


@pytest.mark.parametrize(
    ("save", "file", "changes", "message"),
    [
        (save_pixel_pipeline, "unet/config.json", {"_class_name": "UNet3DModel"}, "holds a UNet3DModel"),
        (
            save_text_pipeline,
            "unet/config.json",
            {"addition_embed_type": "text_time"},
            "more than facegen can tell",
        ),
        (save_pixel_pipeline, "unet/config.json", {"sample_size": None}, "says no side"),
        (save_pixel_pipeline, "scheduler/scheduler_config.json", {"thresholding": True}, "thresholding True"),
        (save_text_pipeline, "scheduler/scheduler_config.json", {"prediction_type": "flow"}, "'flow'"),
        (
            save_text_pipeline,
            "scheduler/scheduler_config.json",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "schedulers with betas",
        ),
        (
            save_text_pipeline,
            "scheduler/scheduler_config.json",
            {"_class_name": "logging"},
            "cannot walk as",
        ),
    ],
)
def test_what_facegen_cannot_ask_or_walk_is_refused(altered, save, file, changes, message) -> None:
    with pytest.raises(UsageError) as refusal:
        facegen.load(altered(save, file, **changes), "cpu")
    assert message in f"{refusal.value} {refusal.value.hint}"


def test_damage_is_named(altered) -> None:
    folder = altered(save_text_pipeline, INDEX_FILE)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(DataError, match="cannot be loaded as network"):
        facegen.load(folder, "cpu")
    weights.with_suffix(".bin").rename(weights)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(scheduler.read_text("utf-8"))
    scheduler.write_text(json.dumps(settings | {"beta_schedule": "steep"}), "utf-8")
    with pytest.raises(DataError, match="does not describe a DDIMScheduler: steep"):
        facegen.load(folder, "cpu")
    scheduler.write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"scheduler_config\.json' cannot be read"):
        facegen.load(folder, "cpu")
