"""The MLP over vectors; what all denoisers keep is in tests/contracts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.config.kinds import kind_config, load_kind
from facegen.denoisers.vector_mlp import VectorMlp, build
from facegen.errors import UsageError
from facegen.types import Conditioning, ConditioningSpec, SampleSpec

SMALL = kind_config("denoisers", {"kind": "vector_mlp", "width": 16, "depth": 2})


def shaken(model: VectorMlp) -> VectorMlp:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 8)])
def test_samples_that_are_not_vectors_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"vectors \(D,\), not") as caught:
        build(SMALL, SampleSpec(shape), ConditioningSpec())
    assert "vae_gan" in str(caught.value)


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_denoisers_of_images_refuse_vectors(kind: str) -> None:
    config = kind_config("denoisers", {"kind": kind})
    with pytest.raises(UsageError, match=r"needs samples \(C, H, W\), not \(256,\)"):
        load_kind("denoisers", kind).build(config, SampleSpec((256,)), ConditioningSpec())


def test_tokens_alone_are_averaged_and_hidden_ones_left_out() -> None:
    model = shaken(build(SMALL, SampleSpec((6,)), ConditioningSpec(token_dim=5, num_tokens=3)))
    x_t, timestep = torch.randn(2, 6), torch.tensor([3.0, 700.0])
    tokens = torch.randn(2, 3, 5)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    answer = model(x_t, timestep, Conditioning(tokens=tokens, token_mask=mask))
    hidden = torch.where(mask[:, :, None], tokens, torch.tensor(9.0))
    assert torch.equal(model(x_t, timestep, Conditioning(tokens=hidden, token_mask=mask)), answer)
    assert not torch.allclose(model(x_t, timestep, Conditioning(tokens=-tokens, token_mask=mask)), answer)
    nothing = model(x_t, timestep, Conditioning(tokens=tokens, token_mask=torch.zeros_like(mask)))
    assert nothing.isfinite().all()


def test_a_vector_goes_before_tokens() -> None:
    model = shaken(build(SMALL, SampleSpec((6,)), ConditioningSpec(4, 5, 3)))
    x_t, timestep, vector = torch.randn(2, 6), torch.tensor([3.0, 700.0]), torch.randn(2, 4)
    answer = model(x_t, timestep, Conditioning(vector, torch.randn(2, 3, 5)))
    assert torch.equal(model(x_t, timestep, Conditioning(vector)), answer)


def test_it_learns_the_mean_of_a_shifted_gaussian() -> None:
    torch.manual_seed(0)
    model = build(SMALL, SampleSpec((4,)), ConditioningSpec(vector_dim=2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    classes = torch.eye(2)
    target = torch.tensor([[1.0, -1.0, 0.5, 0.0], [-1.0, 1.0, 0.0, 0.5]])
    loss = torch.tensor(torch.inf)
    for _ in range(100):
        rows = torch.randint(0, 2, (32,))
        answer = model(torch.randn(32, 4), torch.rand(32) * 1000, Conditioning(classes[rows]))
        loss = (answer - target[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
