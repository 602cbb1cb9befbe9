"""`facegen plot reconstructions`: originals, what came back, and the difference, told as it is."""

from __future__ import annotations

import numpy as np
import pytest
from support.figure_parts import Drawn, numbers_of
from support.generator_parts import compact_autoencoder

from facegen.autoencoders import save_autoencoder
from facegen.config.kinds import kind_config
from facegen.errors import DataError, UsageError
from facegen.plotting import reconstructions
from facegen.plotting.reconstructions import plot_reconstructions


def test_rows_are_originals_reconstructions_and_amplified_differences(avatars_dataset, tmp_path, monkeypatch):
    drawn = Drawn(reconstructions, monkeypatch)
    summary = plot_reconstructions(
        autoencoder(tmp_path), avatars_dataset.folder, tmp_path / "a.png", count=3, amplify=2.0, csv=True
    )
    before, after, difference = drawn.faces.reshape(3, 3, 32, 32, 3).astype(float)
    held_out = avatars_dataset.split("validation")
    known = held_out.images(range(len(held_out))).movedim(1, -1).numpy()
    assert all((known == image).all((1, 2, 3)).any() for image in before)
    assert (difference == np.minimum(2 * np.abs(before - after), 255)).all()
    table = numbers_of(summary)
    psnr = 10 * np.log10(255**2 / ((before - after) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(table["psnr_db"], psnr, rtol=1e-4)
    assert {"difference\n× 2", f"{psnr[0]:.1f} dB"} <= set(drawn.texts)


def test_nothing_lost_is_shown_too(avatars_dataset, tmp_path, monkeypatch):
    drawn = Drawn(reconstructions, monkeypatch)
    plot_reconstructions("identity", avatars_dataset.folder, tmp_path / "a.png", count=2)
    assert len(drawn.faces) == 6
    assert not drawn.faces[-1].any()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"count": 0}, UsageError, "--count"),
        ({"amplify": 0.0}, UsageError, "--amplify"),
        ({"split": "held-out"}, DataError, "held-out"),
    ],
)
def test_wrong_numbers_and_splits_are_refused(avatars_dataset, tmp_path, changes, error, says):
    with pytest.raises(error, match=says):
        plot_reconstructions("identity", avatars_dataset.folder, tmp_path / "a.png", **changes)


def autoencoder(folder):
    config = kind_config("autoencoders", {"kind": "compact", "latent_channels": 3})
    save_autoencoder(compact_autoencoder(), config, folder / "autoencoder")
    return folder / "autoencoder"
