"""A watched forward pass: what a unit's output was really made from, and shapes of all that ran."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from facegen.plotting.architecture.trace import Trace, count


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


def watched() -> tuple[Network, Trace]:
    network = Network()
    units = {"scale": network.scale, **dict(network.named_children())}
    with torch.no_grad(), Trace(network, units) as trace:
        x = trace.put("x", torch.zeros(1, 3))
        trace.put("y", network(x, trace.put("time", torch.zeros(1, 1))))
    return network, trace


def test_sources_are_what_an_output_was_computed_from():
    _, trace = watched()
    assert set(trace.graph.pred["first"]) == {"x", "scale"}
    assert set(trace.graph.pred["second"]) == {"first"}, "an argument that is ignored makes no edge"
    assert set(trace.graph.pred["third"]) == {"first", "second", "time"}
    assert set(trace.graph.pred["y"]) == {"third"}


def test_functions_in_which_tensors_met_are_told():
    _, trace = watched()
    first, second, time = (frozenset({name}) for name in ("first", "second", "time"))
    assert list(trace.meetings) == [
        ("mul", (frozenset({"scale"}), frozenset({"x"}))),
        ("cat", (first, second)),
        ("add", (first | second, time)),
    ]


def test_shapes_leave_the_batch_out_and_inner_modules_are_told_as_well():
    _, trace = watched()
    shapes = dict(trace.graph.nodes(data="shape"))
    assert (shapes["x"], shapes["scale"], shapes["third"]) == ((3,), (3,), (2,))
    assert trace.shapes["second.inner"] == (4,)
    assert "second.inner" not in trace.graph


def test_what_passes_on_the_output_of_a_part_adds_nothing_of_its_own():
    _, trace = watched()
    assert trace.passing == {"second"}


def test_what_never_runs_is_not_there_and_the_rest_is_in_order():
    _, trace = watched()
    assert list(trace.graph) == ["x", "time", "scale", "first", "second", "third", "y"]


def test_afterwards_nothing_watches_any_more():
    network, trace = watched()
    before = len(trace.meetings)
    network(torch.zeros(2, 3), torch.zeros(2, 1))
    assert len(trace.meetings) == before
    assert not any(module._forward_hooks for module in network.modules())


def test_a_shared_parameter_counts_once():
    counted: set[int] = set()
    layer: Any = nn.Linear(2, 3)
    assert [count(layer, counted), count(layer.weight, counted), count(layer)] == [9, 0, 9]
