"""Exported models draw facegen's pictures, opened as somebody without facegen opens them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.exported_runs import UNET2D, UNET2D_CONDITION, save_kl, save_run
from support.published_pipelines import diffusers, save_pixel_pipeline
from support.tiny_text_encoder import save_tiny_text_encoder

from facegen.errors import UsageError
from facegen.export.export import TOLERANCE, ExportSummary, export
from facegen.export.model import opened
from facegen.export.options import ExportOptions
from facegen.progress import SilentProgress

DIT = {"kind": "dit", "patch_size": 2, "width": 32, "depth": 2, "num_heads": 2, "value_maps": True}
LATENTS = {"scaling": ((0.1, -0.2, 0.3, 0.0), (0.5, 2.0, 1.5, 0.8)), "shape": (4, 8, 8)}
BOX = Path(__file__).parents[2] / "facegen" / "box"
FEW = {"steps": 4, "guidance_scale": 2.0}
OPENING = """
import importlib.abc, json, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "facegen":
            raise ModuleNotFoundError("facegen is hidden", name=name)

sys.meta_path.insert(0, Hidden())
sys.modules["torchvision"] = None  # which may be broken here, and is not needed
import numpy, torch
from diffusers import DiffusionPipeline

for folder, asked in json.loads(sys.argv[1]).items():
    trusted = asked.pop("trusted")
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=trusted)
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    steps = asked.pop("steps")
    drawn = pipeline(**asked, generator=seeds, num_inference_steps=steps, output_type="np").images
    numpy.save(folder + "/drawn.npy", drawn)
assert not any(name.partition(".")[0] == "facegen" for name in sys.modules)
"""


def exported(run: Path, out: Path, **options: Any) -> ExportSummary:
    return export(run, out, ExportOptions(**options), SilentProgress())


def attribute_run(folder: Path, **sections: Any) -> Path:
    return save_run(folder, DIT, {"kind": "attributes", "dim": 32}, **{"sampling": FEW, **sections})


def class_run(folder: Path) -> Path:
    sampling = FEW | {"sampler": {"kind": "ddpm"}, "clip_x0": 1.0}
    return save_run(folder, UNET2D, {"kind": "class_label", "dim": 16}, sampling=sampling)


def text_run(folder: Path, tmp_path: Path) -> Path:
    words = save_tiny_text_encoder(tmp_path / "words")
    captions = {"kind": "text", "encoder": str(words)}
    kl = save_kl(tmp_path / "kl")
    return save_run(folder, UNET2D_CONDITION, captions, kl, **LATENTS, sampling=FEW)


@pytest.mark.parametrize("kind", ["heun", "ddim", "unipc"])
def test_an_own_network_draws_the_same_by_its_own_file(kind: str, tmp_path: Path) -> None:
    flow = {"parameterisation": "flow"} if kind == "heun" else {"parameterisation": "v"}
    sampling = FEW | {"sampler": {"kind": kind}, "guidance_interval": [0.1, 0.9]}
    run = attribute_run(tmp_path / "run", sampling=sampling, diffusion=flow)
    told = exported(run, tmp_path / "out")
    assert 0 <= told.deviation <= 1e-5
    assert "trust_remote_code=True" in told.opened_by
    assert "facegen's own 'dit'" in (told.note or "")
    (code,) = (tmp_path / "out" / "model").glob("*.py")
    assert "import facegen" not in code.read_text("utf-8")
    assert "from facegen" not in code.read_text("utf-8")


def test_guidance_from_early_in_the_run_goes_along_and_has_no_graph(tmp_path: Path) -> None:
    led = FEW | {"guidance_from": "weak"}
    run = attribute_run(tmp_path / "run", sampling=led)
    told = exported(run, tmp_path / "out")
    assert 0 <= told.deviation <= 1e-5
    plain = attribute_run(tmp_path / "plain")
    apart = (opened(run, "ema").pictures(0) - opened(plain, "ema").pictures(0)).abs().max()
    assert apart > 100 * TOLERANCE
    with pytest.raises(UsageError, match="--to diffusers holds it"):
        exported(run, tmp_path / "graphs", to="onnx")


def test_classes_and_captions_on_stock_networks_draw_the_same(tmp_path: Path) -> None:
    assert exported(class_run(tmp_path / "class"), tmp_path / "class-out").deviation <= 1e-5
    told = exported(text_run(tmp_path / "text", tmp_path), tmp_path / "text-out")
    assert told.deviation <= 1e-5
    index = json.loads((tmp_path / "text-out" / "model_index.json").read_text("utf-8"))
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert index["vae"] == ["diffusers", "AutoencoderKL"]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_an_unconditional_model_of_pixels_becomes_a_stock_pipeline(sampler: str, tmp_path: Path) -> None:
    sampling = {"steps": 4, "sampler": {"kind": sampler}} | ({"clip_x0": 1.0} if sampler == "ddpm" else {})
    diffusion = {"schedule": "squared_cosine", "parameterisation": "v"}
    run = save_run(tmp_path / "run", UNET2D, {"kind": "none"}, sampling=sampling, diffusion=diffusion)
    told = exported(run, tmp_path / "out")
    assert (told.note, told.opened_by.endswith("')")) == (None, True)
    assert told.deviation <= TOLERANCE
    index = json.loads((tmp_path / "out" / "model_index.json").read_text("utf-8"))
    assert index["_class_name"] == "DDPMPipeline"
    assert not list((tmp_path / "out").rglob("*.py"))


def test_latents_keep_their_scaling_in_a_stock_pipeline_that_knows_one_number(tmp_path: Path) -> None:
    kl = save_kl(tmp_path / "kl")
    sampling = {"steps": 4, "sampler": {"kind": "ddim"}}
    run = save_run(tmp_path / "run", UNET2D, {"kind": "none"}, kl, **LATENTS, sampling=sampling)
    told = exported(run, tmp_path / "out")
    assert told.note is None
    assert told.deviation <= TOLERANCE
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out")
    assert type(pipeline).__name__ == "LDMPipeline"
    generator = opened(run, "ema").generator
    images = torch.randn(1, 3, 16, 16).clamp(-1, 1)
    expected = generator.scaling.apply(generator.autoencoder.encode(images).mean)
    with torch.no_grad():
        torch.testing.assert_close(pipeline.vqvae.encode(images).latent_dist.mean, expected)
        latents = 3 * torch.randn(1, 4, 8, 8)
        decoded = generator.autoencoder.decode(generator.scaling.invert(latents))
        torch.testing.assert_close(pipeline.vqvae.decode(latents).sample, decoded)


@pytest.mark.slow
def test_a_script_without_facegen_draws_facegens_pictures(tmp_path: Path) -> None:
    pixels = save_run(
        tmp_path / "runs", UNET2D, {"kind": "none"}, sampling={"steps": 4, "sampler": {"kind": "ddim"}}
    )
    runs = {
        "own": attribute_run(tmp_path / "own"),
        "class": class_run(tmp_path / "class"),
        "text": text_run(tmp_path / "text", tmp_path),
        "stock": pixels,
        "box": BOX,
    }
    asked: dict[str, Any] = {}
    for name, run in runs.items():
        told = exported(run, tmp_path / "out" / name)
        request = opened(run, "ema").request() if told.note else {"batch_size": 2}
        steps = 20 if name == "box" else 4
        asked[str(told.out)] = request | {"trusted": told.note is not None, "steps": steps}
    command = [sys.executable, "-W", "ignore", "-c", OPENING, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, run in runs.items():
        drawn = torch.from_numpy(np.load(tmp_path / "out" / name / "drawn.npy")).permute(0, 3, 1, 2)
        assert float((drawn - opened(run, "ema").pictures(0)).abs().max()) <= TOLERANCE, name


def test_weights_alone_are_the_runs_own_with_what_they_are(tmp_path: Path) -> None:
    told = exported(BOX, tmp_path / "out", to="safetensors")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    generator: Any = opened(BOX, "ema").generator
    of_autoencoder = {f"autoencoder.{name}" for name in generator.autoencoder.state_dict()}
    assert told.deviation == 0
    assert set(weights) == set(generator.module.state_dict()) | of_autoencoder
    described = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert described["recipe"]["denoiser"]["kind"] == "dit"
    assert described["attributes"][0] == "Smiling"


def test_what_cannot_be_exported_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = attribute_run(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="in the way"):
        exported(run, tmp_path / "full")
    with pytest.raises(UsageError, match="a pipeline of diffusers already"):
        exported(save_pixel_pipeline(tmp_path), out)
    seen = save_run(tmp_path / "seen", DIT | {"value_maps": False}, {"kind": "semantic_encoder", "dim": 16})
    with pytest.raises(UsageError, match="--like PHOTO"):
        exported(seen, out)
    assert not out.exists()
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["file"]


def test_pictures_that_are_not_facegens_are_an_error_that_is_told_with_its_figure(tmp_path: Path) -> None:
    told = ExportSummary(tmp_path, "diffusers", "open", 0.02, "2 pictures")
    assert "0.02" in str(told.refusal)
    assert told.to_json()["deviation"] == 0.02
