"""Every autoencoder kind keeps the contract of `protocols.Autoencoder`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.autoencoders import load_autoencoder, save_autoencoder
from facegen.config.kinds import kind_config, kinds_of, load_kind
from facegen.errors import UsageError

KINDS: dict[str, dict[str, Any]] = {
    "identity": {"kind": "identity"},
    "identity-grey": {"kind": "identity", "grey": True},
    "compact": {"kind": "compact", "widths": [8, 16], "encoder_blocks": 1, "decoder_blocks": 1},
    "compact-f8": {"kind": "compact", "widths": [8, 16], "downsampling": 8, "latent_channels": 3},
    "kl": {"kind": "kl", "block_out_channels": [8, 8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "tiny": {
        "kind": "tiny",
        "encoder_block_out_channels": [8, 8],
        "decoder_block_out_channels": [8, 8],
        "num_encoder_blocks": [1, 1],
        "num_decoder_blocks": [1, 1],
    },
    "vae_gan": {
        "kind": "vae_gan",
        "image_size": 16,
        "latent_dim": 12,
        "widths": [8, 16],
        "encoder_blocks": 1,
        "num_heads": 2,
    },
}
LATENT_SHAPES = {  # of images of 16 pixels
    "identity": (3, 16, 16),
    "identity-grey": (1, 16, 16),
    "compact": (4, 4, 4),
    "compact-f8": (3, 2, 2),
    "kl": (4, 4, 4),
    "tiny": (4, 8, 8),
    "vae_gan": (12,),
}


def build(name: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = kind_config("autoencoders", KINDS[name])
    return load_kind("autoencoders", config.kind).build(config), config


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_every_kind_is_under_contract() -> None:
    assert {described["kind"] for described in KINDS.values()} == set(kinds_of("autoencoders"))


@pytest.mark.parametrize("name", KINDS)
def test_shapes_are_the_stated_ones(name: str, images: torch.Tensor) -> None:
    module, _ = build(name)
    moments = module.encode(images)
    assert module.latent_shape(16) == LATENT_SHAPES[name]
    assert moments.mean.shape == moments.log_variance.shape == (3, *LATENT_SHAPES[name])
    assert module.decode(moments.mean).shape == images.shape


@pytest.mark.parametrize("name", KINDS)
def test_images_of_a_batch_do_not_touch_each_other(name: str, images: torch.Tensor) -> None:
    module, _ = build(name)
    module.eval()
    with torch.no_grad():
        together, alone = module.encode(images).mean, module.encode(images[1:2]).mean
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_saved_and_loaded_is_the_same_autoencoder(name: str, images: torch.Tensor, tmp_path: Path) -> None:
    module, config = build(name)
    save_autoencoder(module.eval(), config, tmp_path / "ae")
    loaded = load_autoencoder(tmp_path / "ae")
    assert (loaded.kind, loaded.is_local) == (config.kind, True)
    assert not loaded.module.training
    assert not any(parameter.requires_grad for parameter in loaded.module.parameters())
    with torch.no_grad():
        z = module.encode(images).mean
        torch.testing.assert_close(loaded.module.encode(images).mean, z, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(loaded.module.decode(z), module.decode(z), atol=1e-5, rtol=1e-4)
    loaded.save(tmp_path / "copy")
    assert load_autoencoder(tmp_path / "copy").fingerprint == loaded.fingerprint


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("identity")])
def test_gradients_reach_every_weight(name: str, images: torch.Tensor) -> None:
    module, _ = build(name)
    with torch.no_grad():  # zero-initialised layers hide what is before them
        for parameter in module.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    moments = module.encode(images)
    (module.decode(moments.sample(torch.randn_like(moments.mean))).square().mean()).backward()
    assert all(parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad)


def test_identity_gives_the_pixels_back(images: torch.Tensor) -> None:
    module, _ = build("identity")
    moments = module.encode(images)
    noise = torch.randn_like(images)
    assert torch.equal(moments.mean, images)
    assert (moments.sample(noise) - images).abs().max() < 1 / 255 / 100


def test_more_levels_than_the_factor_has_are_refused() -> None:
    with pytest.raises(UsageError, match="widths need a downsampling of 8"):
        kind_config("autoencoders", {"kind": "compact", "widths": [8, 8, 8, 8], "downsampling": 4})


def test_tiny_levels_have_to_agree() -> None:
    with pytest.raises(UsageError, match="one entry per level"):
        kind_config("autoencoders", {"kind": "tiny", "num_encoder_blocks": [1, 1]})
