"""What an autoencoder loses, against oracles written out by hand and torch-fidelity's LPIPS."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes
from support.generator_parts import compact_autoencoder
from support.known import known
from typer.testing import CliRunner

from facegen.autoencoders import save_autoencoder
from facegen.cli.app import app
from facegen.compat import guard_torchvision
from facegen.config.kinds import kind_config
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.evaluation.reconstruction import ReconstructionOptions, evaluate_reconstruction
from facegen.metrics.reconstruction import Config, build
from facegen.models.perceptual import load_perceptual_judge
from facegen.nn.perceptual import LPIPS_LAYERS, VGG16_BLOCKS, Vgg16Features
from facegen.progress import SilentProgress


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("reconstruction")
    dataset = write_shapes(folder / "shapes", {"train": 60, "validation": 40})
    config = kind_config("autoencoders", {"kind": "compact", "latent_channels": 3})
    save_autoencoder(compact_autoencoder(), config, folder / "ae")
    return SimpleNamespace(data=dataset, ae=folder / "ae", judge=train_judge(dataset, folder / "judge"))


def pairs(count: int = 3, size: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(0, 256, (count, 3, size, size), generator=generator)
    noise = torch.randint(-30, 31, one.shape, generator=generator)
    return one.byte(), (one + noise).clamp(0, 255).byte()


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Equations 6 and 13 of Wang et al., one window after another, one channel after another."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for a, b in zip(x.astype(float), y.astype(float), strict=True):
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                p, q = (image[top : top + 11, left : left + 11] for image in (a, b))
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
                cov = (window * (p - mean_p) * (q - mean_q)).sum()
                found.append(
                    (2 * mean_p * mean_q + c1)
                    * (2 * cov + c2)
                    / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
                )
    return float(np.mean(found))


def test_psnr_and_ssim_equal_their_definitions():
    one, other = pairs()
    metric = build(Config())
    metric.update(other, one)
    scores = metric.per_image()
    for index in range(len(one)):
        x, y = one[index].numpy(), other[index].numpy()
        error = np.mean((x.astype(float) - y.astype(float)) ** 2)
        assert scores["psnr"][index] == pytest.approx(20 * np.log10(255) - 10 * np.log10(error), rel=1e-12)
        assert scores["ssim"][index] == pytest.approx(ssim_by_hand(x, y), rel=1e-9)


def test_lpips_equals_torch_fidelitys_on_the_same_weights(tmp_path: Path):
    guard_torchvision()
    from torch_fidelity.sample_similarity_lpips import NetLinLayer, SampleSimilarityLPIPS, VGG16features

    generator = torch.Generator().manual_seed(3)
    ours = Vgg16Features(LPIPS_LAYERS)
    reference = SampleSimilarityLPIPS.__new__(SampleSimilarityLPIPS)
    torch.nn.Module.__init__(reference)
    reference.sample_similarity_resize = reference.sample_similarity_dtype = None
    reference.L = 5
    lins = [NetLinLayer(widths[-1], use_dropout=True) for widths in VGG16_BLOCKS]
    for index, lin in enumerate(lins):
        weight = lin.model[1].get_parameter("weight")
        weight.data = torch.rand(weight.shape, generator=generator)
        setattr(reference, f"lin{index}", lin)
    torch.save(reference.state_dict(), tmp_path / "lpips.pth")
    torch.save(ours.state_dict(), tmp_path / "vgg16.pth")
    reference.lins = lins
    net = VGG16features.__new__(VGG16features)
    torch.nn.Module.__init__(net)
    for number, (start, stop) in enumerate([(0, 4), (4, 9), (9, 16), (16, 23), (23, 30)], start=1):
        setattr(net, f"slice{number}", ours.features[start:stop])
    reference.net = net
    reference.eval()
    judge = load_perceptual_judge(
        "lpips",
        torch.device("cpu"),
        SilentProgress(),
        image_size=32,
        lpips_file=tmp_path / "lpips.pth",
        vgg16_file=tmp_path / "vgg16.pth",
    )
    one, other = pairs(2, 32)
    with torch.no_grad():
        expected = reference(one, other).flatten()
    assert torch.allclose(judge.distance(one, other), expected, rtol=1e-4)
    assert judge.name == "LPIPS"


def test_what_loses_nothing_scores_perfectly(place: SimpleNamespace):
    options = ReconstructionOptions(
        distance=f"classifier:{place.judge}", features=f"classifier:{place.judge}", device="cpu"
    )
    report = evaluate_reconstruction("identity", place.data.folder, options)
    assert report.psnr["mean"] == report.psnr["worst_5_percent"] == 100
    assert report.ssim["mean"] == pytest.approx(1)
    assert known(report.distance)["mean"] == pytest.approx(0, abs=1e-9)
    assert known(report.frechet)["score"] == pytest.approx(0, abs=1e-5)
    assert report.latent_shape == (3, 16, 16)


def test_a_lossy_autoencoder_is_measured_with_intervals_and_its_worst_images(place, tmp_path: Path):
    out = tmp_path / "ae.json"
    options = ReconstructionOptions(
        distance=f"classifier:{place.judge}",
        features=f"classifier:{place.judge}",
        worst_images=5,
        batch_size=16,
        out=out,
        device="cpu",
    )
    report = evaluate_reconstruction(place.ae, place.data.folder, options)
    for found in (report.psnr, report.ssim, known(report.distance)):
        assert found["low"] < found["mean"] < found["high"]
    assert report.psnr["worst_5_percent"] < report.psnr["mean"] < 30
    assert known(report.distance)["worst_5_percent"] > known(report.distance)["mean"] > 0
    assert known(report.frechet)["low"] < known(report.frechet)["score"] < known(report.frechet)["high"]
    assert "LPIPS" not in known(report.distance_name)
    assert [row["psnr"] for row in report.worst] == sorted(row["psnr"] for row in report.worst)
    assert len(report.worst) == 5
    saved = json.loads(out.read_text())
    assert saved["metric"] == "reconstruction"
    assert saved["psnr"] == report.psnr
    assert report.picture == out.with_suffix(".png")
    assert known(report.picture).is_file()


def test_missing_lpips_weights_are_told_with_both_files_and_the_way_without(place, tmp_path: Path):
    options = ReconstructionOptions(distance="lpips", vgg16_weights=tmp_path / "none.pth", device="cpu")
    with pytest.raises(
        MissingModelError, match=r"vgg16-397923af[\s\S]*weights-vgg16-lpips[\s\S]*classifier:RUN"
    ):
        evaluate_reconstruction(place.ae, place.data.folder, options)


def test_mistakes_are_told(place: SimpleNamespace):
    def run(**changes) -> None:
        options = ReconstructionOptions(**{"device": "cpu", **changes})
        evaluate_reconstruction(place.ae, place.data.folder, options)

    with pytest.raises(UsageError, match="Unknown distance 'lpisp'"):
        run(distance="lpisp")
    with pytest.raises(DataError, match="5 images are too few"):
        run(features=f"classifier:{place.judge}", num_samples=5)
    with pytest.raises(DataError, match="no images in split 'test'"):
        run(split="test")


def test_the_command_line_shows_a_table(place: SimpleNamespace):
    arguments = [
        "eval",
        "reconstruction",
        str(place.ae),
        str(place.data.folder),
        "--device",
        "cpu",
        "--quiet",
    ]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "PSNR, dB" in shown.stdout
