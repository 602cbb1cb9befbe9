from __future__ import annotations

import json
import pickle
import time
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_dataset import write_autoencoder

from facegen.autoencoders import load_autoencoder
from facegen.autoencoders._diffusers import DiffusersAutoencoder
from facegen.autoencoders.compact import Config as CompactConfig
from facegen.autoencoders.compact import build as build_compact
from facegen.autoencoders.kl import Config as KlConfig
from facegen.autoencoders.kl import build as build_kl
from facegen.errors import DataError, MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint import CheckpointInfo, save_checkpoint

IMAGES = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
TINY = {"widths": [8, 16], "encoder_blocks": 1, "decoder_blocks": 1}


@pytest.fixture
def kl() -> DiffusersAutoencoder:
    torch.manual_seed(0)
    return build_kl(KlConfig(block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4)).eval()


def write_run(folder: Path, task: str = "autoencoding", **sections: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    states = {
        "model": build_compact(CompactConfig(**TINY)).state_dict(),
        "ema": build_compact(CompactConfig(**TINY)).state_dict(),
    }
    recipe = {"task": {"kind": task}, "autoencoder": {"kind": "compact", **TINY}, **sections}
    info = CheckpointInfo(step=5, images_seen=40, recipe=recipe)
    save_checkpoint(folder / "checkpoints" / "step-00000005", info, cast(Any, states), {})
    return states


def test_a_run_gives_its_averaged_weights(tmp_path: Path) -> None:
    states = write_run(tmp_path / "run")
    loaded = load_autoencoder(tmp_path / "run")
    for name, value in loaded.module.state_dict().items():
        assert torch.equal(value, states["ema"][name])
    checkpoint = load_autoencoder(tmp_path / "run" / "checkpoints" / "step-00000005")
    assert checkpoint.fingerprint == loaded.fingerprint


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run", task="denoising", denoiser={"kind": "unet"})
    with pytest.raises(UsageError, match="task 'denoising', not an autoencoder"):
        load_autoencoder(tmp_path / "run")


@pytest.mark.parametrize("subfolder", ["", "vae"])
def test_a_diffusers_folder_or_pipeline_is_read(
    kl: DiffusersAutoencoder, tmp_path: Path, subfolder: str
) -> None:
    kl.model.save_pretrained(tmp_path / "model" / subfolder)
    loaded = load_autoencoder(tmp_path / "model")
    assert loaded.kind == "kl"
    torch.testing.assert_close(loaded.module.encode(IMAGES).mean, kl.encode(IMAGES).mean)
    loaded.save(tmp_path / "copy")
    assert load_autoencoder(tmp_path / "copy").fingerprint == loaded.fingerprint
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    again = AutoencoderKL.from_pretrained(tmp_path / "copy")
    torch.testing.assert_close(DiffusersAutoencoder(again).encode(IMAGES).mean, kl.encode(IMAGES).mean)


def test_one_changed_weight_changes_the_fingerprint(tmp_path: Path) -> None:
    first = load_autoencoder(write_autoencoder(tmp_path / "a"))
    assert load_autoencoder(write_autoencoder(tmp_path / "b")).fingerprint == first.fingerprint
    assert load_autoencoder(write_autoencoder(tmp_path / "c", seed=1)).fingerprint != first.fingerprint


def test_pickled_weights_are_never_opened(kl: DiffusersAutoencoder, tmp_path: Path) -> None:
    canary = tmp_path / "executed"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (canary,)

    folder = tmp_path / "model"
    kl.model.save_pretrained(folder)
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(MissingModelError, match=r"has no diffusion_pytorch_model\.safetensors"):
        load_autoencoder(folder)
    assert not canary.exists()


def test_code_of_a_model_folder_is_not_run(kl: DiffusersAutoencoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    kl.model.save_pretrained(folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"_class_name": ["evil", "Evil"], "auto_map": {"AutoModel": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is not an autoencoder"):
        load_autoencoder(folder)
    assert not (tmp_path / "executed").exists()


def test_weights_that_do_not_fit_are_refused(kl: DiffusersAutoencoder, tmp_path: Path) -> None:
    kl.model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"latent_channels": 8}))
    with pytest.raises(DataError, match=r"(?s)cannot be loaded as autoencoder: .*size mismatch"):
        load_autoencoder(tmp_path)


def test_attention_weights_of_older_diffusers_are_read(kl: DiffusersAutoencoder, tmp_path: Path) -> None:
    kl.model.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(file)
    for new, old in older.items():
        weights = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in weights.items()}
    assert any(".proj_attn." in name for name in weights)
    save_file(weights, file)
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(load_autoencoder(tmp_path).module.encode(images).mean, kl.encode(images).mean)


def test_cut_weights_are_named(tmp_path: Path) -> None:
    folder = write_autoencoder(tmp_path / "ae")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(StorageError, match=r"model\.safetensors' is missing or corrupt"):
        load_autoencoder(folder)


def test_a_folder_without_a_model_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json, checkpoint or 'vae' folder"):
        load_autoencoder(tmp_path)


def test_a_name_that_means_nothing_lists_the_ways() -> None:
    with pytest.raises(MissingModelError, match=r"no autoencoder 'runs/of/mine'[\s\S]*hub name such as"):
        load_autoencoder("runs/of/mine")


def test_offline_a_hub_name_fails_at_once_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    check_missing_model()


def test_a_dead_network_fails_within_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    check_missing_model()


def check_missing_model() -> None:
    started = time.monotonic()
    with pytest.raises(MissingModelError) as caught:
        load_autoencoder("stabilityai/sd-vae-ft-mse")
    assert time.monotonic() - started < 8
    assert caught.value.exit_code == 4
    assert "hf download stabilityai/sd-vae-ft-mse" in str(caught.value)
    assert "--autoencoder FOLDER" in str(caught.value)
    assert "facegen train --preset celeba-autoencoder" in str(caught.value)


def test_what_is_cached_needs_no_network(
    kl: DiffusersAutoencoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--some--vae"
    kl.model.save_pretrained(repo / "snapshots" / "abc" / "vae")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    loaded = load_autoencoder("some/vae")
    assert (loaded.kind, loaded.is_local, loaded.source) == ("kl", False, "some/vae")
