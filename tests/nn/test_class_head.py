"""Class losses in a latent space, with values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facegen.nn.class_head import ClassHead


@pytest.fixture
def head() -> ClassHead:
    head = ClassHead(2, 3)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
        head.classifier.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
        head.classifier.bias.zero_()
    return head


def test_losses_of_known_latents(head: ClassHead) -> None:
    latents = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 4.0]])
    entropy, distance = head.losses(latents, torch.tensor([0, 1]))
    assert entropy.tolist() == pytest.approx([math.log1p(math.exp(2)), math.log1p(math.exp(-1))])
    assert distance.tolist() == pytest.approx([4 / 3, 9 / 3])


def test_an_unknown_class_counts_nothing_and_gets_no_gradient(head: ClassHead) -> None:
    latents = torch.randn(2, 3, requires_grad=True)
    entropy, distance = head.losses(latents, torch.tensor([2, 0]))
    assert entropy[0] == distance[0] == 0
    (entropy.sum() + distance.sum()).backward()
    assert latents.grad is not None
    assert latents.grad[0].abs().sum() == 0
    assert latents.grad[1].abs().sum() > 0


def test_centres_move_towards_their_own_latents(head: ClassHead) -> None:
    latents, classes = torch.tensor([[4.0, 0.0, 0.0], [0.0, -4.0, 1.0]]), torch.tensor([0, 1])
    optimizer = torch.optim.SGD([head.centres], lr=0.75)
    for _ in range(20):
        optimizer.zero_grad()
        head.losses(latents, classes)[1].sum().backward()
        optimizer.step()
    torch.testing.assert_close(head.centres.detach(), latents, atol=1e-3, rtol=0)
