from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import COUNTS, write_autoencoder, write_dataset
from support.tiny_text_encoder import tiny_text_encoder  # noqa: F401

from facegen.autoencoders import load_autoencoder
from facegen.encoding.encode import EncodeOptions, EncodeSummary, encode, encoding_job
from facegen.encoding.job import fast_batch
from facegen.errors import DataError, UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.images import to_unit
from facegen.formats.latents import LatentStore
from facegen.progress import SilentProgress


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "data")


@pytest.fixture
def autoencoder(tmp_path: Path) -> str:
    return str(write_autoencoder(tmp_path / "ae"))


def run(data: Dataset, autoencoder: str, out: Path, **options: Any) -> EncodeSummary:
    return encode(data.folder, autoencoder, out, EncodeOptions(device="cpu", **options), SilentProgress())


def test_latents_are_the_autoencoders_moments_in_float16(data, autoencoder: str, tmp_path: Path) -> None:
    run(data, autoencoder, tmp_path / "out", batch_size=3, shard_size=4)
    module = load_autoencoder(autoencoder).module
    store = LatentStore.open(tmp_path / "out", verify=True)
    for split, count in COUNTS.items():
        with torch.inference_mode():
            expected = module.encode(to_unit(data.split(split).images(range(count))))
        moments = store.split(split).gather(torch.arange(count))
        torch.testing.assert_close(moments.mean, expected.mean, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(moments.log_variance, expected.log_variance, atol=2e-3, rtol=2e-3)
        assert torch.equal(moments.mean.half().float(), moments.mean)


def test_flips_are_encoded_and_not_mirrored_latents(data, autoencoder: str, tmp_path: Path) -> None:
    run(data, autoencoder, tmp_path / "out", flips=True)
    images = to_unit(data.split("train").images(range(11))).flip(-1)
    with torch.inference_mode():
        expected = load_autoencoder(autoencoder).module.encode(images).mean
    split = LatentStore.open(tmp_path / "out").split("train")
    flipped = split.gather(torch.arange(11), torch.ones(11, dtype=torch.bool)).mean
    torch.testing.assert_close(flipped, expected, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(flipped, split.gather(torch.arange(11)).mean.flip(-1), atol=1e-2)


def test_scaled_training_samples_have_zero_mean_and_unit_variance(data, autoencoder, tmp_path) -> None:
    run(data, autoencoder, tmp_path / "out", shard_size=4)
    store = LatentStore.open(tmp_path / "out")
    moments = store.split("train").gather(torch.arange(11))
    noise = torch.randn(2000, *moments.mean.shape, generator=torch.Generator().manual_seed(0))
    samples = (moments.mean + torch.exp(0.5 * moments.log_variance) * noise).flatten(0, 1)
    scaled = store.index.scaling.apply(samples)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), atol=5e-3, rtol=0)
    torch.testing.assert_close(scaled.var((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_labels_travel_with_the_latents(data: Dataset, autoencoder: str, tmp_path: Path) -> None:
    run(data, autoencoder, tmp_path / "out")
    store = LatentStore.open(tmp_path / "out")
    assert store.index.labels == data.manifest.labels
    assert store.index.dataset_fingerprint == data.manifest.fingerprint
    for split in COUNTS:
        frame, expected = store.split(split).frame, data.split(split).frame
        assert frame["id"].tolist() == expected["id"].tolist()
        assert frame["Smiling"].equals(expected["Smiling"])
        assert [list(many) for many in frame["captions"]] == [list(many) for many in expected["captions"]]


def test_the_copied_autoencoder_is_the_one_that_encoded(data, autoencoder: str, tmp_path: Path) -> None:
    summary = run(data, autoencoder, tmp_path / "out")
    store = LatentStore.open(tmp_path / "out")
    assert store.autoencoder_folder is not None
    copied = load_autoencoder(store.autoencoder_folder)
    assert copied.fingerprint == store.index.autoencoder["fingerprint"] == summary.autoencoder["fingerprint"]


def test_pixels_go_through_the_identity_autoencoder(data: Dataset, tmp_path: Path) -> None:
    run(data, "identity", tmp_path / "out")
    store = LatentStore.open(tmp_path / "out")
    pixels = store.split("train").gather(torch.arange(11)).mean
    torch.testing.assert_close(pixels, to_unit(data.split("train").images(range(11))), atol=5e-4, rtol=0)
    assert store.index.sample_shape == (3, 16, 16)


def test_nothing_is_encoded_twice(data: Dataset, autoencoder: str, tmp_path: Path) -> None:
    assert run(data, autoencoder, tmp_path / "out").images_encoded == 16
    again = run(data, autoencoder, tmp_path / "out")
    assert again.images_encoded == 0
    assert again.counts == COUNTS


def test_a_limit_takes_the_first_images_of_each_split(
    data: Dataset, autoencoder: str, tmp_path: Path
) -> None:
    assert run(data, autoencoder, tmp_path / "out", limit=7).counts == {"train": 7, "validation": 5}
    frame = LatentStore.open(tmp_path / "out").split("train").frame
    assert frame["id"].tolist() == [f"train-{i}" for i in range(7)]


def test_sizes_that_do_not_divide_name_the_nearest(autoencoder: str, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "odd", size=18)
    with pytest.raises(UsageError, match=r"18 pixels do not divide by .* factor 4; .* 16 or 20"):
        run(data, autoencoder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(data, autoencoder: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    for resume in (True, False):
        with pytest.raises(UsageError, match="not empty and holds no latents"):
            run(data, autoencoder, tmp_path / "out", resume=resume)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_what_a_killed_first_write_left_is_not_in_the_way(data, autoencoder: str, tmp_path: Path) -> None:
    left = tmp_path / "out" / f".encoding.json.{socket.gethostname()}.99999999.tmp"
    left.parent.mkdir()
    left.write_text("{")
    run(data, autoencoder, tmp_path / "out")
    assert not left.exists()


def test_a_folder_that_is_no_data_set_is_refused(autoencoder: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared data set"):
        encode(tmp_path, autoencoder, tmp_path / "out", EncodeOptions(), SilentProgress())


@pytest.mark.parametrize("name", ["batch_size", "shard_size", "limit"])
def test_numbers_below_one_are_refused(data: Dataset, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be at least 1, not 0"):
        run(data, "identity", tmp_path / "out", **{name: 0})


def test_latents_that_float16_cannot_hold_are_refused(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    loaded = load_autoencoder("identity")
    whole = loaded.module.encode
    monkeypatch.setattr(type(loaded.module), "encode", lambda self, x: whole(x * 1e6))
    with pytest.raises(DataError, match="float16 cannot hold for images 0 to 10 of split 'train'"):
        run(data, "identity", tmp_path / "out")


def test_captions_are_embedded_once_each(data, autoencoder, tmp_path: Path, tiny_text_encoder) -> None:  # noqa: F811
    run(data, autoencoder, tmp_path / "out")
    summary = run(data, autoencoder, tmp_path / "out", text_encoder=str(tiny_text_encoder))
    assert summary.images_encoded == 0  # the latents stood, the table was added
    table = LatentStore.open(tmp_path / "out", verify=True).text_embeddings
    assert table is not None
    assert table.captions == ["", "A smiling face", "A smiling face.", "A face", "A face."]
    assert table.tokens.shape[:2] == table.mask.shape
    assert summary.unique_captions == 5


def test_a_cpu_gets_as_many_images_at_once_as_its_caches_hold(data: Dataset, autoencoder: str) -> None:
    sizes = {size: fast_batch(torch.device("cpu"), size) for size in (16, 64, 128, 256, 1024)}
    assert sizes == {16: 32, 64: 16, 128: 4, 256: 1, 1024: 1}
    assert fast_batch(torch.device("meta"), 1024) == 32
    asked, left = (
        encoding_job(data.folder, autoencoder, Path(), EncodeOptions(batch_size=batch), SilentProgress())
        for batch in (3, None)
    )
    assert (asked.batch_size, left.batch_size) == (3, 32)
