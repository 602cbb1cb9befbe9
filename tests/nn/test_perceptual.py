"""Perceptual distance: properties, the fixed random network, and torchvision's layout of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from facegen.nn.classifier import MultiLabelResNet
from facegen.nn.perceptual import (
    BlockFeatures,
    PerceptualDistance,
    Vgg16Features,
    load_vgg16,
    vgg16_layers,
)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def torchvision_vgg16() -> nn.Module:
    from facegen.compat import guard_torchvision

    guard_torchvision()
    from torchvision.models import vgg16

    return vgg16(weights=None)


def test_an_image_is_at_no_distance_from_itself_and_farther_the_more_it_is_disturbed(images: Tensor) -> None:
    distance = PerceptualDistance(Vgg16Features(["relu1_2", "relu2_2"]))
    noise = torch.randn_like(images)
    near, far = distance(images, images + 0.1 * noise), distance(images, images + 0.5 * noise)
    assert distance(images, images).tolist() == [0.0, 0.0]
    assert (near > 0).all()
    assert (far > 1.5 * near).all()


def test_a_blur_is_farther_than_pixels_say(images: Tensor) -> None:
    """What the loss is for: at one squared error, lost detail costs more than a shift of brightness."""
    blurred = nn.functional.avg_pool2d(images, 3, 1, 1)
    shifted = images + (blurred - images).square().mean().sqrt()
    distance = PerceptualDistance(Vgg16Features(["relu2_2"]))
    assert (distance(images, blurred) > 1.2 * distance(images, shifted)).all()


def test_each_image_has_its_own_distance(images: Tensor) -> None:
    distance = PerceptualDistance(Vgg16Features(["relu1_1"]), downscale=2)
    other = images.flip(-1)
    together = distance(images, other)
    alone = torch.cat([distance(images[i : i + 1], other[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone)


def test_the_scale_of_the_features_does_not_matter(images: Tensor) -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [1000 * x]

    class Plain(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x]

    other = images.roll(1)
    a, b = PerceptualDistance(Scaled())(images, other), PerceptualDistance(Plain())(images, other)
    torch.testing.assert_close(a, b)


def test_gradients_reach_the_other_image_alone(images: Tensor) -> None:
    network = Vgg16Features(["relu1_2"])
    distance = PerceptualDistance(network)
    target, other = images.clone().requires_grad_(), images.flip(-1).requires_grad_()
    distance(target, other).sum().backward()
    assert target.grad is None
    assert other.grad is not None
    assert other.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_random_network_is_the_same_every_time_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    first = Vgg16Features(["relu2_1"]).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    second = Vgg16Features(["relu2_1"]).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_layers_are_where_torchvision_has_them(images: Tensor) -> None:
    reference = torchvision_vgg16()
    layers = ["relu1_2", "relu3_1", "relu4_3"]
    network = Vgg16Features(layers)
    load_vgg16(network, reference.state_dict())
    x = (images + 1) / 2
    x = (x - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        1, 3, 1, 1
    )
    with torch.no_grad():
        maps = network(images)
        for layer, found in zip(layers, maps, strict=True):
            features = list(reference.get_submodule("features").children())
            expected = nn.Sequential(*features[: vgg16_layers()[layer] + 1])(x)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_weights_that_are_missing_or_of_another_network_are_named() -> None:
    state = Vgg16Features(["relu2_2"]).state_dict()
    network = Vgg16Features(["relu2_2"])
    with pytest.raises(ValueError, match=r"'features\.5\.weight' is missing"):
        load_vgg16(network, {name: value for name, value in state.items() if name != "features.5.weight"})
    state["features.2.weight"] = torch.zeros(64, 32, 3, 3)
    with pytest.raises(ValueError, match=r"'features\.2\.weight' is \(64, 32, 3, 3\), not \(64, 64, 3, 3\)"):
        load_vgg16(network, state)


@pytest.mark.parametrize("layers", [["relu6_1"], ["relu1_3"], []])
def test_unknown_layers_of_vgg_are_refused(layers: list[str]) -> None:
    with pytest.raises(ValueError, match="relu1_1"):
        Vgg16Features(layers)


def test_a_classifiers_maps_come_in_order_and_unknown_ones_are_refused(images: Tensor) -> None:
    network = MultiLabelResNet(3, 16, widths=(8, 16))
    maps = BlockFeatures(network.stem, [*network.stages], ["block1", "block2"])(images)
    assert [tuple(each.shape[1:]) for each in maps] == [(8, 16, 16), (16, 8, 8)]
    with pytest.raises(ValueError, match="block1 to block2"):
        BlockFeatures(network.stem, [*network.stages], ["block3"])
