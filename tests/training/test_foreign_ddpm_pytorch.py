"""A run begins with filters of denoising-diffusion-pytorch, and never runs what its file holds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from support.foreign_weights import DDPM_PYTORCH, PIXELS, UNET2D, begun, mended, recipe_of, refused
from torch import Tensor

from facegen.errors import DataError


def ddpm_pytorch() -> dict[str, Tensor]:
    """Names and shapes of `Unet(8, dim_mults=(1, 2))` of denoising-diffusion-pytorch 2.3.4."""
    shapes: dict[str, tuple[int, ...]] = {"init_conv": (8, 3, 7, 7), "final_conv": (3, 8, 1, 1)}
    shapes |= {"time_mlp.1": (32, 8), "time_mlp.3": (32, 32)}
    blocks = {"downs.0": (8, 8), "downs.1": (8, 8), "ups.0": (24, 16), "ups.1": (16, 8)}
    pairs = {f"{name}.{index}": sizes for name, sizes in blocks.items() for index in (0, 1)}
    pairs |= {"mid_block1": (16, 16), "mid_block2": (16, 16), "final_res_block": (16, 8)}
    scales: dict[str, tuple[int, ...]] = {}
    for name, (there, here) in pairs.items():
        shapes |= {f"{name}.mlp.1": (2 * here, 32), f"{name}.block1.proj": (here, there, 3, 3)}
        shapes |= {f"{name}.block2.proj": (here, here, 3, 3)}
        shapes |= {f"{name}.res_conv": (here, there, 1, 1)} if there != here else {}
        scales |= {f"{name}.block{index}.norm.g": (1, here, 1, 1) for index in (1, 2)}
    ends = {"downs.0.3.1": (8, 32, 1, 1), "downs.1.3": (16, 8, 3, 3), "ups.0.3.1": (8, 16, 3, 3)}
    shapes |= {**ends, "ups.1.3": (8, 8, 3, 3)}
    attends = {"downs.0.2": 8, "downs.1.2": 8, "ups.0.2": 16, "ups.1.2": 8, "mid_attn": 16}
    for name, width in attends.items():
        scales |= {f"{name}.norm.g": (1, width, 1, 1), f"{name}.mem_kv": (2, 4, 4, 32)}
        scales[f"{name}.to_qkv.weight"] = (384, width, 1, 1)
    both = {f"{name}.weight": shape for name, shape in shapes.items()}
    both |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}
    torch.manual_seed(3)
    return {name: torch.randn(shape) for name, shape in {**both, **scales}.items()}


def save_ddpm_pytorch(file: Path, **more: Any) -> dict[str, Tensor]:
    """As its `Trainer.save` writes; returns the averaged weights."""
    averaged, plain = ddpm_pytorch(), {name: value + 1 for name, value in ddpm_pytorch().items()}
    ema = {f"ema_model.model.{name}": value for name, value in averaged.items()}
    ema |= {"initted": torch.tensor(True), "step": torch.tensor(10), "ema_model.betas": torch.zeros(10)}
    model = {f"model.{name}": value for name, value in plain.items()}
    content = {
        "step": 10,
        "model": model,
        "opt": {"state": {}},
        "ema": ema,
        "scaler": None,
        "version": "2.3.4",
    }
    torch.save({**content, **more}, file)
    return averaged


@pytest.mark.parametrize("weights", ["ema", "model"])
def test_a_checkpoint_of_ddpm_pytorch_gives_its_filters(tmp_path: Path, weights: Any) -> None:
    file = tmp_path / "model-10.pt"
    averaged = save_ddpm_pytorch(file)
    module, told = begun(file, recipe_of(DDPM_PYTORCH), PIXELS, weights)
    shift = 0 if weights == "ema" else 1
    network = module["denoiser"]
    pairs = {
        "downs.0.0.block1.proj.weight": network.down[0][0].block.conv_in.weight,
        "mid_block1.block2.proj.bias": network.middle[0].block.conv_out.bias,
        "mid_block2.block1.norm.g": network.middle[1].block.norm_out.weight,
        "ups.0.1.res_conv.weight": network.up[0][1].block.skip.weight,
    }
    for name, value in pairs.items():
        assert torch.equal(averaged[name].flatten() + shift, value.flatten()), name
    assert told.step == 10
    assert "another" in told.settings["denoiser"]
    assert told.parameters["time_mlp"]["left over"] == 9 * 32 + 33 * 32
    assert told.parameters["denoiser.middle"]["left over"] == 0
    assert "denoiser.conv_in.weight" in told.fresh
    assert "only there" not in told.skipped["denoiser.up.0.0.block.conv_in.weight"]


def test_a_checkpoint_of_ddpm_pytorch_names_the_unet_that_takes_most(tmp_path: Path) -> None:
    file = tmp_path / "model-10.pt"
    save_ddpm_pytorch(file)
    told = refused(file, recipe_of(UNET2D))
    assert "--preset peer-ddpm-pytorch" in str(told)
    section = mended(recipe_of(UNET2D), told).section("denoiser").model_dump()
    assert section == {**section, **DDPM_PYTORCH, "num_heads": 4}


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file, mark = tmp_path / "model-10.pt", tmp_path / "ran"
    save_ddpm_pytorch(file, opt=Canary(mark))
    told = refused(file, recipe_of(DDPM_PYTORCH))
    assert isinstance(told, DataError)
    assert "can run code" in str(told)
    assert not mark.exists()
    file.write_bytes(pickle.dumps({"model": Canary(mark)}))
    assert isinstance(refused(file, recipe_of(DDPM_PYTORCH)), DataError)
    assert not mark.exists()


def test_other_and_cut_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model-10.pt"
    save_ddpm_pytorch(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "not a readable file of weights" in str(refused(file, recipe_of(DDPM_PYTORCH)))
    first = "ema_model.model.init_conv.weight"
    empty = [{"ema": {first: torch.zeros(size)}} for size in ((), (0, 3, 7, 7))]
    for content in ({"epoch": 3}, [1], {"ema": [1]}, {"ema": {1: torch.zeros(1)}}, *empty):
        torch.save(content, file)
        told = refused(file, recipe_of(DDPM_PYTORCH))
        assert isinstance(told, DataError)
        assert "no checkpoint of denoising-diffusion-pytorch" in str(told)
