"""A run begins with weights that other programs saved; with them its network computes what theirs does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.foreign_weights import (
    DDPM_PYTORCH,
    LATENTS,
    PIXELS,
    UNET2D,
    begun,
    mended,
    noise,
    recipe_of,
    refused,
    theirs,
)
from support.published_pipelines import (
    Saving,
    diffusers,
    save_class_pipeline,
    save_pixel_pipeline,
    save_text_pipeline,
    saved_once,
)
from support.training_parts import denoising_recipe, write_latents

from facegen.config.kinds import load_kind
from facegen.config.recipe import parse_recipe
from facegen.errors import DataError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.run import RunDirectory
from facegen.progress import SilentProgress
from facegen.training.foreign import open_foreign
from facegen.training.options import LifeOptions
from facegen.training.train import train
from facegen.training.warm_start import take_weights
from facegen.types import Conditioning


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saving:
    return saved_once(tmp_path_factory.mktemp("foreign"))


# -- diffusers


def test_an_unconditional_unet_computes_what_it_did(saved) -> None:
    source = saved(save_pixel_pipeline)
    module, told = begun(source, recipe_of(UNET2D), PIXELS)
    assert not told.skipped
    assert not told.fresh
    assert not told.settings
    x_t, timestep = noise(PIXELS)
    with torch.no_grad():
        answer = module["denoiser"](x_t, timestep, Conditioning())
        torch.testing.assert_close(answer, theirs(source / "unet")(x_t, timestep).sample, rtol=0, atol=1e-5)
    assert answer.abs().max() > 0.1


def test_settings_that_no_shape_tells_are_told_and_mended(saved, tmp_path: Path) -> None:
    first = {"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6}
    network = theirs(saved(save_pixel_pipeline) / "unet", **first)  # as the first published ones are
    network.save_pretrained(tmp_path)
    recipe = recipe_of(UNET2D)
    _, told = begun(tmp_path, recipe, PIXELS)
    assert not told.skipped
    assert set(told.settings) == {f"denoiser.{name}" for name in first}
    assert told.settings["denoiser.freq_shift"] == "1 there, 0 here"
    origin = open_foreign(tmp_path, "ema", recipe)
    assert origin is not None
    module, told = begun(tmp_path, mended(recipe, UsageError("", hint=origin.remedy)), PIXELS)
    assert not told.settings
    x_t, timestep = noise(PIXELS)
    with torch.no_grad():
        answer = module["denoiser"](x_t, timestep, Conditioning())
        torch.testing.assert_close(answer, network(x_t, timestep).sample, rtol=0, atol=1e-5)
    theirs(tmp_path, mid_block_scale_factor=2.0).save_pretrained(tmp_path / "scaled")
    _, told = begun(tmp_path / "scaled", recipe, PIXELS)
    assert told.settings["mid_block_scale_factor"] == "2.0 there, 1 here"


def test_a_text_unet_computes_what_it_did_with_tokens(saved) -> None:
    source = saved(save_text_pipeline)
    words = {"kind": "text", "encoder": str(source)}
    other = recipe_of(UNET2D, words)
    recipe = mended(other, refused(source, other))
    assert recipe.section("denoiser").kind == "unet2d_condition"
    module, told = begun(source, recipe, LATENTS)
    assert not [name for name in told.fresh if name.startswith("denoiser.")]
    x_t, timestep = noise(LATENTS)
    tokens = torch.randn(3, 5, 16)
    with torch.no_grad():
        answer = module["denoiser"](x_t, timestep, Conditioning(tokens=tokens))
        expected = theirs(source / "unet")(x_t, timestep, tokens).sample
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


def test_a_transformer_computes_what_it_did_classes_included(saved, tmp_path: Path) -> None:
    network = theirs(saved(save_class_pipeline) / "transformer")
    first, second = network.transformer_blocks
    second.norm1.emb.load_state_dict(first.norm1.emb.state_dict())  # as in published ones
    network.save_pretrained(tmp_path)
    other = recipe_of(UNET2D, {"kind": "class_label"})
    recipe = mended(other, refused(tmp_path, other))
    module, told = begun(tmp_path, recipe, LATENTS)
    assert not told.fresh
    assert not told.settings
    assert set(told.skipped) == {"variance.weight", "variance.bias"}
    for block in network.transformer_blocks:
        block.norm1.norm.eps = 1e-5
    network.norm_out.eps = 1e-5  # facegen's; theirs is 1e-6
    (x_t, timestep), numbers = noise(LATENTS), torch.tensor([1, 7, 1000])
    with torch.no_grad():
        answer = module["denoiser"](x_t, timestep, module["conditioner"](numbers))
        expected = network(x_t, timestep, class_labels=numbers).sample[:, :4]
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


def test_a_transformer_whose_blocks_embed_otherwise_is_told(saved) -> None:
    source = saved(save_class_pipeline)  # random in every block
    other = recipe_of(UNET2D, {"kind": "class_label"})
    _, told = begun(source, mended(other, refused(source, other)), LATENTS)
    assert told.parameters["transformer_blocks"]["left over"] > 0
    assert "transformer_blocks" in told.settings


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderTiny"])
def test_an_autoencoder_is_trained_on_from_what_it_was(saved, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "AutoencoderKL": {
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "block_out_channels": (8, 8),
            "norm_num_groups": 4,
        },
        "AutoencoderTiny": {
            "encoder_block_out_channels": (8, 8),
            "decoder_block_out_channels": (8, 8),
            "num_encoder_blocks": (1, 1),
            "num_decoder_blocks": (1, 1),
        },
    }
    network = getattr(diffusers, name)(**sizes[name]).eval()
    network.save_pretrained(tmp_path / "pipeline" / "vae")
    shutil.copytree(saved(save_pixel_pipeline) / "unet", tmp_path / "pipeline" / "unet")
    other = parse_recipe(
        {
            "task": {"kind": "autoencoding"},
            "autoencoder": {"kind": "compact"},
            "training": {"max_steps": 1, "batch_size": 2},
        }
    )
    recipe = mended(other, refused(tmp_path / "pipeline", other))
    config = recipe.section("autoencoder")
    module: Any = load_kind("autoencoders", config.kind).build(config).eval()
    origin = open_foreign(tmp_path / "pipeline", "ema", recipe)
    assert origin is not None
    told = take_weights(module, origin, tmp_path, [])
    assert not told.skipped
    assert not told.fresh
    assert not told.settings
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        latents = module.encode(images).mean
        assert torch.equal(module.decode(latents), network.decode(latents).sample)


def test_a_run_says_in_a_table_what_fitted_and_keeps_it(saved, tmp_path: Path) -> None:
    source, run, progress = saved(save_pixel_pipeline), tmp_path / "run", SilentProgress()
    data = denoising_recipe(write_latents(tmp_path / "latents"), max_steps=1).model_dump(mode="json")
    wider = {**UNET2D, "block_out_channels": [8, 24]}
    data |= {"denoiser": wider, "conditioner": {"kind": "none"}}
    data["optimizer"] |= {"lr": 1e-12}
    train(parse_recipe(data), run, progress=progress, life=LifeOptions(source=source))
    (event,) = RunDirectory(run).history()
    assert event.started_from is not None
    rows = event.started_from["parameters"]
    there = theirs(source / "unet").state_dict()
    unet: dict[str, int] = {
        name: sum(value.numel() for key, value in there.items() if key.startswith(name))
        for name in ("conv_in", "time_embedding")
    }
    for name, count in unet.items():
        assert rows[f"denoiser.model.{name}"] == {
            "taken": count,
            "of another shape": 0,
            "not there": 0,
            "left over": 0,
        }
    assert rows["denoiser.model.mid_block"]["taken"] == 0
    assert rows["denoiser.model.mid_block"]["of another shape"] > 0
    assert rows["denoiser.model.down_blocks"]["taken"] > 0
    new = load_checkpoint(run).weights("model")
    module = sum(value.numel() for value in new.values())
    here = ("taken", "of another shape", "not there")
    assert sum(row[fate] for row in rows.values() for fate in here) == module
    assert torch.allclose(new["denoiser.model.conv_in.weight"], there["conv_in.weight"], atol=1e-9)
    (line,) = [line for line in progress.said if line.startswith("  denoiser.model.conv_in ")]
    assert line.split()[1:] == [str(unet["conv_in"]), "0", "0", "0"]
    assert event.started_from["settings"] == {
        "denoiser.block_out_channels": "[8,16] there, [8,24] here",
        "diffusion.parameterisation": "eps there, flow here",
    }
    assert any("computes otherwise" in line for line in progress.warned)
    origin = open_foreign(source, "ema", parse_recipe(data))
    assert origin is not None
    assert event.started_from["sha256"] == origin.sha256


def test_other_networks_are_refused_with_the_recipe_that_fits(saved) -> None:
    source = saved(save_pixel_pipeline)
    told = str(refused(source, recipe_of(DDPM_PYTORCH)))
    assert "holds a UNet2DModel of diffusers, which is denoiser 'unet2d', and this recipe has 'unet'" in told
    assert "--set denoiser.kind=unet2d" in told
    assert "--preset peer-diffusers-unconditional" in told
    assert "holds a AutoencoderKL" in str(refused(saved(save_text_pipeline) / "vae", recipe_of(UNET2D)))
    classifier = {"task": {"kind": "attribute_classification"}, "training": {"max_steps": 1, "batch_size": 2}}
    assert "no recipe for the task 'attribute_cl" in str(refused(source, parse_recipe(classifier)))


def test_a_network_that_no_recipe_gives_is_refused(saved, tmp_path: Path) -> None:
    shutil.copytree(saved(save_text_pipeline) / "unet", tmp_path / "unet")
    config = json.loads((tmp_path / "unet" / "config.json").read_text("utf-8"))
    heads = {**config, "attention_head_dim": [2, 4]}  # as in Stable Diffusion 2
    (tmp_path / "unet" / "config.json").write_text(json.dumps(heads), "utf-8")
    told = refused(tmp_path, recipe_of({"kind": "unet2d_condition"}))
    assert "'unet2d_condition' cannot be" in str(told)


# -- what is no whole folder of safetensors


def damaged(saved: Any, tmp_path: Path) -> Path:
    shutil.copytree(saved(save_pixel_pipeline) / "unet", tmp_path / "unet")
    return tmp_path / "unet"


def test_a_folder_of_weights_without_config_is_refused(saved, tmp_path: Path) -> None:
    folder = damaged(saved, tmp_path)
    (folder / "config.json").unlink()
    for source in (folder, tmp_path):
        told = refused(source, recipe_of(UNET2D))
        assert isinstance(told, DataError)
        assert "there is no config.json" in str(told)
    assert open_foreign(tmp_path / "nothing", "ema", recipe_of(UNET2D)) is None


def test_a_cut_file_a_pointer_and_a_bin_are_refused_in_words(saved, tmp_path: Path) -> None:
    folder = damaged(saved, tmp_path)
    file = folder / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    told = refused(folder, recipe_of(UNET2D))
    assert isinstance(told, DataError)
    assert "cannot be loaded as network" in str(told)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    told = refused(folder, recipe_of(UNET2D))
    assert isinstance(told, DataError)
    assert "pointer of Git LFS" in str(told)
    file.unlink()
    torch.save({"conv_in.weight": torch.zeros(1)}, folder / "diffusion_pytorch_model.bin")
    told = refused(folder, recipe_of(UNET2D))
    assert isinstance(told, DataError)
    assert "diffusion_pytorch_model.safetensors" in str(told)
    assert "safetensors" in str(refused(folder / "diffusion_pytorch_model.bin", recipe_of(UNET2D)))
