"""The dataflow of a forward pass: what a unit's output was really made from, and shapes of all that ran."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.nn.dataflow import Dataflow


class Network(nn.Module):
    """Uses a parameter of its own, ignores an argument, concatenates, and never runs `idle`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.first = nn.Linear(3, 4)
        self.second = Ignoring()
        self.third = nn.Linear(8, 2)
        self.idle = nn.Linear(5, 5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        one = self.first(self.scale * x)
        two = self.second(one, time)
        return self.third(torch.cat([torch.relu(one), two], dim=1) + 0 * time)


class Ignoring(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor, ignored: Tensor) -> Tensor:
        return self.inner(x)


def watched() -> tuple[Network, Dataflow]:
    network = Network()
    flow = Dataflow(network, ["first", "second", "third", "idle"], ["scale"])
    with torch.no_grad(), flow.watching():
        flow.phase = "main"
        x = flow.input("x", torch.zeros(1, 3))
        flow.output("y", network(x, flow.input("time", torch.zeros(1, 1))))
    return network, flow


def test_sources_are_what_an_output_was_computed_from():
    _, flow = watched()
    assert flow.nodes["scale"].sources == {"x"}  # data flow through the parameter they meet
    assert flow.nodes["first"].sources == {"scale"}
    assert flow.nodes["second"].sources == {"first"}, "an argument that is ignored makes no edge"
    assert flow.nodes["third"].sources == {"first", "second", "time"}
    assert flow.nodes["y"].sources == {"third"}


def test_shapes_leave_the_batch_out_and_inner_modules_are_told_as_well():
    _, flow = watched()
    assert flow.nodes["x"].shape == (3,)
    assert flow.nodes["third"].shape == (2,)
    assert flow.shapes["second.inner"] == (4,)
    assert "second.inner" not in flow.nodes


def test_what_never_runs_has_no_order():
    _, flow = watched()
    assert "idle" not in flow.nodes
    assert sorted(flow.nodes, key=lambda name: flow.nodes[name].order or 0) == [
        "x", "time", "scale", "first", "second", "third", "y"
    ]  # fmt: skip
    assert {node.phase for node in flow.nodes.values()} == {"main"}


def test_afterwards_nothing_watches_any_more():
    network, flow = watched()
    before = len(flow.nodes)
    network(torch.zeros(2, 3), torch.zeros(2, 1))
    assert len(flow.nodes) == before
    assert not any(module._forward_hooks for module in network.modules())
