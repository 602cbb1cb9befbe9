"""Muon: what it makes of matrices, which ones it takes, and that it leaves a step out when told to."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from facegen.config.recipe import OptimizerConfig, Recipe
from facegen.training.muon import Muon, hidden_matrices, orthogonalised
from facegen.training.optimizer import build_optimizer, set_learning_rate

CONFIG = OptimizerConfig.model_validate({"kind": "muon", "lr": 1e-3, "matrix_lr": 0.02})


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.last = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(torch.tanh(x))
        return self.last(x)


def stepped(network: Network, optimizer: torch.optim.Optimizer, num_steps: int) -> list[float]:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(num_steps):
        loss = (network(x) - x[:, :2].sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 48, 16), (3, 16, 48)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_loses_its_singular_values(
    shape: tuple[int, int, int],
) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = orthogonalised(matrices)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6
    assert values.max() < 1.25
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    aligned = torch.einsum("mri,mrc,mic->mi", left, made, right)  # the diagonal of U^T X V
    assert torch.allclose(aligned.abs().norm(dim=1), made.flatten(1).norm(dim=1), rtol=1e-3)


def test_only_matrices_in_repeated_blocks_are_orthogonalised() -> None:
    network = Network()
    network.blocks[1].weight.requires_grad_(False)
    assert {id(one) for one in hidden_matrices(network)} == {
        id(network.blocks[0].weight),
        id(network.blocks[2].weight),
    }
    optimizer = build_optimizer(network, CONFIG)
    trained = [one for one in network.parameters() if one.requires_grad]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)


def test_it_agrees_with_torchs_own_where_no_step_is_left_out() -> None:
    ours, theirs = Network(), Network()
    optimizer = build_optimizer(ours, CONFIG)
    matrices = hidden_matrices(theirs)
    inside = {id(one) for one in matrices}
    others = [one for one in theirs.parameters() if id(one) not in inside]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.0, momentum=0.95)
    adamw = torch.optim.AdamW(others, lr=1e-3, betas=CONFIG.betas, weight_decay=0.0)

    class Both:
        def zero_grad(self) -> None:
            muon.zero_grad()
            adamw.zero_grad()

        def step(self) -> None:
            muon.step()
            adamw.step()

    first, second = stepped(ours, optimizer, 30), stepped(theirs, Both(), 30)  # pyright: ignore[reportArgumentType]
    assert first == pytest.approx(second, rel=0.03)  # theirs multiplies in bf16
    assert first[-1] < 0.5 * first[0]


def test_a_step_that_is_left_out_changes_nothing_but_is_made_up_for_by_none() -> None:
    network = Network()
    optimizer = build_optimizer(network, CONFIG)
    stepped(network, optimizer, 2)
    before = [one.detach().clone() for one in network.parameters()]
    momenta = [optimizer.state[one]["momentum"].clone() for one in hidden_matrices(network)]
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, torch.nan)
    optimizer.grad_scale, optimizer.found_inf = None, torch.ones(())  # pyright: ignore[reportAttributeAccessIssue]
    optimizer.step()
    assert all(map(torch.equal, before, network.parameters()))
    after = [optimizer.state[one]["momentum"] for one in hidden_matrices(network)]
    assert all(map(torch.equal, momenta, after))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_what_must_not_be_asked_is_heeded_without_asking(weight_decay: float) -> None:
    """As on a GPU, where asking whether a step is left out would wait for it."""
    config = CONFIG.model_copy(update={"weight_decay": weight_decay})
    plain, told = Network(), Network()
    for network, found_inf in ((plain, None), (told, torch.zeros(()))):
        optimizer = build_optimizer(network, config)
        assert isinstance(optimizer, Muon)
        matrices: list[torch.Tensor] = [*hidden_matrices(network)]
        for number, weight in enumerate(matrices):
            weight.grad = torch.linspace(-1, 1, weight.numel()).view_as(weight) + number
        with torch.no_grad():
            optimizer._step_matrices(matrices, optimizer.param_groups[1], found_inf)
        if found_inf is None:
            continue
        assert all(map(torch.equal, plain.parameters(), told.parameters()))
        momenta = [optimizer.state[one]["momentum"].clone() for one in matrices]
        for weight in matrices:
            weight.grad = torch.full_like(weight, torch.inf)
        with torch.no_grad():
            optimizer._step_matrices(matrices, optimizer.param_groups[1], torch.ones(()))
        assert all(map(torch.equal, plain.parameters(), told.parameters()))
        assert all(
            torch.equal(optimizer.state[one]["momentum"], was)
            for one, was in zip(matrices, momenta, strict=True)
        )
        assert all(optimizer.state[one]["step"] == 1 for one in matrices)


def test_the_rate_keeps_its_ratio_and_the_state_comes_back() -> None:
    network = Network()
    optimizer = build_optimizer(network, CONFIG, torch.bfloat16)
    set_learning_rate(optimizer, 5e-4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-4, 0.01])
    stepped(network, optimizer, 3)
    other = Network()
    other.load_state_dict(network.state_dict())
    again = build_optimizer(other, CONFIG)
    again.load_state_dict(deepcopy(optimizer.state_dict()))
    assert isinstance(again, Muon)
    assert again.param_groups[1]["dtype"] == torch.bfloat16
    assert stepped(network, optimizer, 3) == stepped(other, again, 3)


def test_half_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="whole matrices"):
        Recipe.model_validate(
            {
                "task": {"kind": "denoising"},
                "optimizer": {"kind": "muon"},
                "training": {"max_steps": 1, "parallel": "fsdp"},
            }
        )
