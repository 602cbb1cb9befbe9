"""Features of published metrics against the networks' formulas in numpy and the resizes of their authors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from support.published_networks import (
    clip_in_numpy,
    clip_weights,
    dinov2_in_numpy,
    dinov2_weights,
    save_scripted,
)

from facegen.errors import DataError
from facegen.metrics import ReferenceFeatures, cmmd, fid, mind
from facegen.models.feature_networks import load_extractor, random_inception
from facegen.models.published_metrics import published_name, resize_remarks
from facegen.models.resizing import bicubic_exact, bicubic_rounded

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073]).reshape(3, 1, 1)
CLIP_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711]).reshape(3, 1, 1)
MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
DEVIATION = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def pictures(count: int, size: int, seed: int = 0, least: int = 0) -> torch.Tensor:
    """Coloured blocks with edges, uint8 (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(
        least, 256, (count, 3, size // 4, size // 4), dtype=torch.uint8, generator=generator
    )
    return blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)


def resized(images: torch.Tensor, size: int) -> np.ndarray:
    """Pillow's bicubic of each picture, as torchvision resizes one that is loaded, in [0, 1]."""
    shown = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    pixels = np.stack([np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in shown])
    return pixels.transpose(0, 3, 1, 2) / 255


@pytest.mark.parametrize("size", [64, 400])
def test_the_exact_resize_is_clean_fids(size: int) -> None:
    from cleanfid.resize import build_resizer

    images = pictures(2, size)
    theirs = np.stack([build_resizer("clean")(image.permute(1, 2, 0).numpy()) for image in images])
    np.testing.assert_array_equal(bicubic_exact(images, 299).permute(0, 2, 3, 1).numpy(), theirs)


@pytest.mark.parametrize("size", [64, 224, 400])
def test_the_rounded_resize_is_that_of_a_loaded_picture(size: int) -> None:
    images = pictures(2, size)
    np.testing.assert_array_equal(bicubic_rounded(images, 224).numpy() / 255, resized(images, 224))


def test_dinov2_in_transformers_is_its_authors_network(tmp_path: Path) -> None:
    state, images = dinov2_weights(width=128, blocks=2), pictures(2, 64)
    torch.save(state, tmp_path / "dinov2.pth")
    extractor = load_extractor("dinov2", tmp_path / "dinov2.pth")
    expected = dinov2_in_numpy(state, (resized(images, 224) - MEAN) / DEVIATION)
    np.testing.assert_allclose(extractor(images).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert extractor.fingerprint.endswith(":pillow-bicubic-rounded-224")
    assert not extractor.published
    assert published_name("fid", extractor) is None, "other weights than the published ones"


def test_weights_of_another_network_are_no_dinov2(tmp_path: Path) -> None:
    torch.save({"norm.weight": torch.ones(64)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth' are not the weights of a DINOv2"):
        load_extractor("dinov2", tmp_path / "other.pth")
    state = dinov2_weights(width=64, blocks=1)
    del state["blocks.0.mlp.fc1.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(DataError, match=r"fc1\.bias' is missing"):
        load_extractor("dinov2", tmp_path / "part.pth")


def test_clip_at_336_pixels_is_its_authors_network(tmp_path: Path) -> None:
    state, images = clip_weights(width=128, blocks=2, grid=24, dims=16), pictures(2, 64)
    extractor = load_extractor("clip-vit-l-14-336", save_scripted(state, tmp_path / "clip.pt"))
    expected = clip_in_numpy(state, (resized(images, 336) - CLIP_MEAN) / CLIP_DEVIATION)
    np.testing.assert_allclose(extractor(images).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_above_299_pixels_it_is_said_that_inceptions_resize_skips_some() -> None:
    inception = load_extractor("random-inception")
    assert resize_remarks(inception, 1024) == []
    told = resize_remarks(type(inception)("inception", "", None, inception.extract), 300)
    assert "300 pixels" in told[0]
    assert "clean-fid" in told[0]
    assert resize_remarks(type(inception)("inception", "", None, inception.extract), 299) == []


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """As written by Heusel et al.; of singular covariances the root's rounding is some 1e-5 of all."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * np.trace(linalg.sqrtm(a @ b)).real)


def apart(found: torch.Tensor, expected: np.ndarray) -> float:
    """How far features are from expected ones, as a part of the whole."""
    return float(np.linalg.norm(found.numpy() - expected) / np.linalg.norm(expected))


def assert_frechet(a: torch.Tensor, b: torch.Tensor, x: np.ndarray, y: np.ndarray) -> None:
    """The distance in the 4 features that vary most, fewer than images, so that nothing is singular."""
    most = (x.var(0) + y.var(0)).argsort()[-4:]
    chosen = torch.from_numpy(most.copy())
    metric = fid.build(fid.Config(), reference=ReferenceFeatures.of(b[:, chosen]))
    expected = frechet(x[:, most].astype(np.float64), y[:, most].astype(np.float64))
    assert metric.values(a[:, chosen])["fid"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_clean_fid_is_clean_fids_resize_through_inception(tmp_path: Path) -> None:
    """At Inception's true shape with random weights, with clean-fid's own resize."""
    from cleanfid.resize import build_resizer

    network, ours, theirs = random_inception(), pictures(12, 320, 1), pictures(12, 320, 2, least=60)
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    extractor = load_extractor("inception-clean", tmp_path / "inception.pth")

    def expected(images: torch.Tensor) -> np.ndarray:
        pixels = np.stack([build_resizer("clean")(image.permute(1, 2, 0).numpy()) for image in images])
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - 128) / 128
        for name, part in network.named_children():
            x = x if name == "fc" else part(x)
        return x.flatten(1).detach().numpy()

    x, y = expected(ours), expected(theirs)
    found = [extractor(images) for images in (ours, theirs)]
    assert apart(found[0], x) < 1e-5
    assert_frechet(found[0], found[1], x, y)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fd_dinov2_at_the_true_shape_is_its_formula(tmp_path: Path) -> None:
    """ViT-L/14 with random weights."""
    state, ours, theirs = (
        dinov2_weights(width=1024, blocks=24),
        pictures(6, 64, 1),
        pictures(6, 64, 2, least=60),
    )
    torch.save(state, tmp_path / "dinov2.pth")
    extractor = load_extractor("dinov2", tmp_path / "dinov2.pth")
    found = [extractor(images) for images in (ours, theirs)]
    x, y = (dinov2_in_numpy(state, (resized(one, 224) - MEAN) / DEVIATION) for one in (ours, theirs))
    assert apart(found[0], x) < 1e-5
    assert_frechet(found[0], found[1], x, y)
    transport = mind.build(mind.Config(), reference=ReferenceFeatures.of(found[1]))
    again = mind.build(mind.Config(), reference=ReferenceFeatures.of(torch.from_numpy(y).float()))
    assert transport.values(found[0])["mind"] == pytest.approx(
        again.values(torch.from_numpy(x).float())["mind"], rel=1e-5
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cmmd_at_the_true_shape_is_its_formula(tmp_path: Path) -> None:
    """ViT-L/14 at 336 pixels with random weights."""
    state = clip_weights(width=1024, blocks=24, grid=24, dims=768)
    ours, theirs = pictures(2, 64, 1), pictures(2, 64, 2, least=60)
    extractor = load_extractor("clip-vit-l-14-336", save_scripted(state, tmp_path / "clip.pt"))
    found = [extractor(images) for images in (ours, theirs)]
    x, y = (clip_in_numpy(state, (resized(one, 336) - CLIP_MEAN) / CLIP_DEVIATION) for one in (ours, theirs))
    assert apart(found[0], x) < 1e-5

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 200).mean())

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    metric = cmmd.build(cmmd.Config(), reference=ReferenceFeatures.of(found[1]))
    assert metric.values(found[0])["cmmd"] == pytest.approx(expected, rel=1e-5, abs=1e-5)
