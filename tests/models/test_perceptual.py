"""The perceptual network by name: given files are checked and never run, what is missing says its remedy."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.checkpoint import CheckpointInfo, save_checkpoint
from facegen.models.packaged_networks import MEAN, SCALE, efficientnet
from facegen.models.perceptual import load_perceptual, named_network
from facegen.nn.perceptual import PerceptualDistance, Vgg16Features, load_vgg16
from facegen.tasks.adversarial_autoencoding import PerceptualConfig
from facegen.tasks.attribute_classification import Config as ClassifierConfig
from facegen.tasks.attribute_classification import build_network
from facegen.types import LabelSchema

LAYERS = ("relu1_1",)


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's cache of downloaded weights, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def trained() -> dict[str, Tensor]:
    """A state dict in torchvision's layout, deeper layers and classifier included."""
    torch.manual_seed(3)
    state = {name: torch.randn_like(value) for name, value in Vgg16Features(["relu1_2"]).state_dict().items()}
    return {**state, "classifier.6.bias": torch.zeros(1000)}


def vgg16(weights: Path | str | None, layers: tuple[str, ...] = LAYERS) -> Any:
    given = None if weights is None else str(weights)
    config = PerceptualConfig(network="vgg16", weights=given, layers=layers)
    return load_perceptual(config, 16)


def test_none_is_none_and_the_random_network_needs_no_file(hub: Path) -> None:
    assert load_perceptual(PerceptualConfig(network="none"), 16) is None
    config = PerceptualConfig(network="random_vgg16")
    first, again = (load_perceptual(config, 16) for _ in range(2))
    assert isinstance(first, PerceptualDistance)
    assert isinstance(again, PerceptualDistance)
    a, b = first.state_dict(), again.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert isinstance(first.features, Vgg16Features)
    assert max(first.features.taken) == 8  # relu2_2: nothing deeper is built


def test_efficientnets_maps_are_those_on_the_way_to_its_features() -> None:
    network: Any = efficientnet()[0]
    last = network._blocks[4]  # pyright: ignore[reportPrivateUsage]
    seen: list[Tensor] = []
    last.register_forward_hook(lambda *call: seen.append(call[2]))
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    network.extract_features((pixels - MEAN) / SCALE)
    loaded = load_perceptual(PerceptualConfig(network="auto"), 64)
    assert loaded is not None
    maps = loaded.features(pixels / 127.5 - 1)
    assert [tuple(each.shape[1:]) for each in maps] == [(16, 32, 32), (24, 16, 16), (40, 8, 8)]
    torch.testing.assert_close(maps[2], seen[0], rtol=1e-4, atol=1e-4)


def test_auto_is_the_random_network_where_no_trained_one_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = PerceptualConfig(downscale=2)
    assert named_network(config) == PerceptualConfig(network="efficientnet-lite0", downscale=1)
    monkeypatch.setattr("facegen.models.perceptual.missing_packages", lambda: ["one"])
    assert named_network(config) == PerceptualConfig(network="random_vgg16", downscale=2)


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16.safetensors"])
def test_torchvisions_weights_are_read_from_either_format(
    tmp_path: Path, name: str, trained: dict[str, Tensor]
) -> None:
    path = tmp_path / name
    torch.save(trained, path) if path.suffix == ".pth" else save_file(trained, path)
    expected = Vgg16Features(LAYERS)
    load_vgg16(expected, trained)
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(vgg16(path).features(images)[0], expected(images)[0])


def test_weights_in_torchs_cache_are_found(hub: Path, trained: dict[str, Tensor]) -> None:
    torch.save(trained, hub / "vgg16-397923af.pth")
    assert torch.equal(vgg16(None).features.features[0].weight, trained["features.0.weight"])


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    for number, write in enumerate((torch.save, lambda value, path: path.write_bytes(pickle.dumps(value)))):
        path = tmp_path / f"{number}.pth"
        write({"features.0.weight": Canary(tmp_path / "canary")}, path)
        with pytest.raises(DataError, match=r"run code|not a readable"):
            vgg16(path)
    assert not (tmp_path / "canary").exists()


def test_the_weights_of_another_network_are_a_data_error(tmp_path: Path, trained: dict[str, Tensor]) -> None:
    save_file({**trained, "features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"not the weights of torchvision's VGG-16: 'features\.0\.weight'"):
        vgg16(tmp_path / "other.safetensors")


def test_missing_weights_tell_the_command_and_the_offline_choices(hub: Path, tmp_path: Path) -> None:
    for weights in (None, tmp_path / "nowhere.pth"):
        with pytest.raises(MissingModelError) as caught:
            vgg16(weights)
        assert caught.value.exit_code == 4
        assert "curl -L" in str(caught.value)
        assert "network=random_vgg16" in str(caught.value)
        assert "classifier:RUN" in str(caught.value)


def test_a_hub_name_is_fetched_from_its_cache_or_missed_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: dict[str, Tensor]
) -> None:
    import huggingface_hub

    save_file(trained, tmp_path / "model.safetensors")
    asked = []

    def download(name: str, file: str, **options: Any) -> str:
        asked.append((name, file, options))
        if name == "lab/gone":
            raise OSError("no network")
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    found = vgg16("timm/vgg16.tv_in1k")
    assert torch.equal(found.features.features[0].weight, trained["features.0.weight"])
    assert asked == [("timm/vgg16.tv_in1k", "model.safetensors", {"local_files_only": True})]
    with pytest.raises(MissingModelError, match=r"hf download lab/gone model.safetensors"):
        vgg16("lab/gone")


def test_unknown_layers_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"task.perceptual.layers: VGG-16 has the layers relu1_1"):
        load_perceptual(PerceptualConfig(network="random_vgg16", layers=("conv1",)), 16)


@pytest.fixture
def classifier_run(tmp_path: Path) -> Path:
    config = ClassifierConfig(widths=(8, 16))
    network = build_network(config, 1, 16)
    recipe = {"task": config.model_dump(mode="json")}
    info = CheckpointInfo(
        step=1, images_seen=1, recipe=recipe, labels=LabelSchema(attributes=("Smiling",)), image_size=16
    )
    save_checkpoint(
        tmp_path / "run" / "checkpoints" / "step-00000001", info, {"ema": network.state_dict()}, {}
    )
    return tmp_path / "run"


def test_a_facegen_classifier_serves_as_the_network(classifier_run: Path) -> None:
    config = PerceptualConfig(network=f"classifier:{classifier_run}")
    distance = load_perceptual(config, 16)
    assert isinstance(distance, PerceptualDistance)
    images = torch.rand(2, 3, 16, 16)
    assert (distance(images, images.flip(-1)) > 0).all()
    with pytest.raises(UsageError, match="images of 16 pixels, not of 32"):
        load_perceptual(config, 32)
    with pytest.raises(UsageError, match=r"task.perceptual.layers.*block1 to block2"):
        load_perceptual(config.model_copy(update={"layers": ("block9",)}), 16)


def test_a_run_that_is_not_there_is_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError, match="holds no checkpoint"):
        load_perceptual(PerceptualConfig(network=f"classifier:{tmp_path / 'no'}"), 16)
