"""`encode --scaling`: measured on the data, or the autoencoder's own factor, and never mixed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_autoencoder, write_dataset

from facegen.autoencoders.kl import Config, build
from facegen.encoding.encode import EncodeOptions, EncodeSummary, encode
from facegen.errors import UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.latents import LatentStore
from facegen.progress import SilentProgress


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "data")


def diffusers_autoencoder(folder: Path, **config: Any) -> str:
    """A small AutoencoderKL in diffusers' layout; `config` is written into its config.json."""
    torch.manual_seed(0)
    model = build(Config(block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4)).model
    model.register_to_config(**config)
    model.save_pretrained(folder)
    return str(folder)


def run(data: Dataset, autoencoder: str, out: Path, **options: Any) -> EncodeSummary:
    return encode(data.folder, autoencoder, out, EncodeOptions(device="cpu", **options), SilentProgress())


def test_the_models_own_factor_is_taken_from_its_configuration(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl", scaling_factor=0.5, shift_factor=0.25)
    summary = run(data, autoencoder, tmp_path / "out", scaling="model")
    assert (summary.scaling_shift, summary.scaling_scale) == ((0.25,) * 4, (0.5,) * 4)
    index = LatentStore.open(tmp_path / "out").index
    assert index.scaling.apply(torch.full((1, 4, 1, 1), 2.25)).unique().item() == 1.0
    assert index.transform["scaling"] == "model"
    assert index.transform["scaling_split"] is None


def test_measuring_is_the_default_and_recorded(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl", scaling_factor=0.5)
    scale = run(data, autoencoder, tmp_path / "out").scaling_scale
    assert scale is not None
    assert len(set(scale)) == 4
    transform = LatentStore.open(tmp_path / "out").index.transform
    assert (transform["scaling"], transform["scaling_split"]) == ("measured", "train")


def test_no_factor_in_the_configuration_means_stable_diffusions(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl")
    config = (tmp_path / "kl" / "config.json").read_text()
    assert '"scaling_factor": 0.18215' in config
    (tmp_path / "kl" / "config.json").write_text(config.replace('"scaling_factor": 0.18215,', ""))
    assert run(data, autoencoder, tmp_path / "out", scaling="model").scaling_scale == (0.18215,) * 4


@pytest.mark.parametrize("trained_here", [True, False])
def test_an_autoencoder_without_a_factor_of_its_own_is_refused(data, tmp_path, trained_here: bool) -> None:
    autoencoder = str(write_autoencoder(tmp_path / "ae")) if trained_here else "identity"
    with pytest.raises(UsageError, match=r"has no scaling factor of its own.*\n.*--scaling measured"):
        run(data, autoencoder, tmp_path / "out", scaling="model")
    assert not (tmp_path / "out").exists()


def test_latents_of_another_scaling_are_not_gone_on_with(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl")
    run(data, autoencoder, tmp_path / "out")
    with pytest.raises(UsageError, match="scaling measured there, model now"):
        run(data, autoencoder, tmp_path / "out", scaling="model")
    assert run(data, autoencoder, tmp_path / "out", scaling="model", resume=False).images_encoded == 16


def test_the_scaling_belongs_to_the_fingerprint_that_a_run_remembers(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl")
    for name in ("measured", "model"):
        run(data, autoencoder, tmp_path / name, scaling=name)
    measured, model = (LatentStore.open(tmp_path / name).index for name in ("measured", "model"))
    assert measured.shards == model.shards
    assert measured.fingerprint != model.fingerprint


def test_latents_from_before_the_choice_count_as_measured(data: Dataset, tmp_path: Path) -> None:
    autoencoder = diffusers_autoencoder(tmp_path / "kl")
    run(data, autoencoder, tmp_path / "out")
    path = tmp_path / "out" / "index.json"
    text = path.read_text()
    assert text.count('"scaling": "measured",') == 2
    before = LatentStore.open(tmp_path / "out").index.fingerprint
    path.write_text(text.replace('"scaling": "measured",', ""))
    assert LatentStore.open(tmp_path / "out").index.fingerprint == before
    assert run(data, autoencoder, tmp_path / "out").images_encoded == 0
