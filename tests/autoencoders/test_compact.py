"""The compact autoencoder: a decoder of its own shape, and what it is known by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from facegen.autoencoders import load_autoencoder
from facegen.autoencoders._loading import save_autoencoder
from facegen.autoencoders.compact import CompactAutoencoder, Config


def test_a_decoder_may_have_finer_levels_than_its_encoder() -> None:
    config = Config(latent_channels=4, downsampling=8, widths=(16,), decoder_widths=(8, 16), decoder_blocks=1)
    module = CompactAutoencoder(config)
    mean = module.encode(torch.zeros(2, 3, 32, 32)).mean
    assert mean.shape == (2, 4, 4, 4)
    assert module.decode(mean).shape == (2, 3, 32, 32)
    alike = CompactAutoencoder(config.model_copy(update={"decoder_widths": None}))
    shapes = {name: value.shape for name, value in alike.state_dict().items()}
    for name, value in module.state_dict().items():
        if name.startswith("encoder."):
            assert shapes[name] == value.shape


def test_a_decoder_with_more_levels_than_the_factor_has_is_refused() -> None:
    with pytest.raises(ValidationError, match="need a downsampling of 4"):
        Config(downsampling=2, widths=(8,), decoder_widths=(8, 8, 8))


def test_an_option_of_a_later_version_does_not_change_what_an_autoencoder_is_known_by(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = Config(latent_channels=4, downsampling=4, widths=(8,), encoder_blocks=0, decoder_blocks=0)
    save_autoencoder(CompactAutoencoder(config), config, tmp_path)
    now = load_autoencoder(tmp_path).fingerprint
    text = (tmp_path / "config.json").read_text()
    assert '"decoder_widths": null' in text
    (tmp_path / "config.json").write_text(text.replace('"decoder_widths": null,', ""))
    assert load_autoencoder(tmp_path).fingerprint == now
