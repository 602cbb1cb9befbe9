"""The autoencoder of Stable Diffusion 1.5 in its true size (83.7 M parameters), with random weights.

`import sd_autoencoder` in a test module gives the fixture; the folder is written once a session.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from facegen.compat import guard_torchvision

# config.json of runwayml/stable-diffusion-v1-5's vae; stabilityai/sd-vae-ft-mse differs in sample_size, 256
SD_CONFIG = {
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 512,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
NUM_PARAMETERS = 83_653_863


@cache
def write_sd_autoencoder(folder: Path) -> Path:
    """Save it to `folder` in diffusers' layout, weights in float16 to spare the disk."""
    guard_torchvision()
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoencoderKL(**SD_CONFIG)
    model.half().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sd_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with config.json and diffusion_pytorch_model.safetensors (167 MB, removed at the end)."""
    folder = tmp_path_factory.getbasetemp() / "sd-autoencoder"
    yield write_sd_autoencoder(folder)
    shutil.rmtree(folder, ignore_errors=True)
