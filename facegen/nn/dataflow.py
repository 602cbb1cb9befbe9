"""What flows where in a network: a forward pass in which every tensor remembers who made it.

A *unit* is a module, or a parameter that no unit holds, and is a node of a graph, beside the inputs and
outputs of the pass. The graph's edges are what a unit's output was really computed from, through any
functions in between (sums, concatenations, reshapes); an argument that a unit ignores makes no edge.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NO_SOURCES: frozenset[str] = frozenset()


@dataclass
class Node:
    """A unit, input or output: its output's `shape` without the batch, and the nodes it came from.

    `order` counts nodes as they are reached; None is a unit that the pass never reached. `phase` is the one
    it was reached in.
    """

    shape: tuple[int, ...]
    sources: set[str] = field(default_factory=set)
    order: int | None = None
    phase: str = ""


class Dataflow:
    """Watches one forward pass of `root` with a batch of one: `with Dataflow(...) as flow: ...`.

    `modules` and `parameters` name the units. Afterwards `nodes` is the graph, and `shapes` has the output
    shape, without the batch, of every module that was run.
    """

    def __init__(self, root: nn.Module, modules: Iterable[str], parameters: Iterable[str]) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.phase = ""
        self._root, self._modules = root, frozenset(modules)
        self._numbers = itertools.count()
        # An object is kept as long as its id is in use, or another might get the same one.
        self._made: dict[int, tuple[Tensor, frozenset[str]]] = {}
        self._unmixed: set[str] = set()  # parameters that have not met another tensor yet
        for name in parameters:
            parameter = root.get_parameter(name)
            self.nodes[name] = Node(tuple(parameter.shape))
            self._made[id(parameter)] = (parameter, frozenset({name}))
            self._unmixed.add(name)

    def input(self, name: str, tensor: Tensor) -> Tensor:
        """Give `tensor` (1, *S) as the input `name`; returns it."""
        self._reach(name, tuple(tensor.shape[1:]))
        self._made[id(tensor)] = (tensor, frozenset({name}))
        return tensor

    def output(self, name: str, tensor: Tensor) -> None:
        """Take `tensor` (1, *S) as the output `name`."""
        sources = self._sources(tensor)
        self._reach(name, tuple(tensor.shape[1:])).sources |= sources

    @contextmanager
    def watching(self) -> Iterator[Dataflow]:
        """Hooks and function calls are watched inside the block alone."""
        hooks = [
            module.register_forward_hook(self._hook(name)) for name, module in self._root.named_modules()
        ]
        try:
            with _Following(self):
                yield self
        finally:
            for hook in hooks:
                hook.remove()

    def computed(self, given: Any, result: Any) -> None:
        """A function made `result` of `given`."""
        results = list(_tensors(result))
        if not results:
            return
        sources = NO_SOURCES.union(*(self._sources(tensor) for tensor in _tensors(given)))
        for name in sorted(sources & self._unmixed):
            node = self._reach(name, self.nodes[name].shape)
            others = sources - self._unmixed
            if others:  # where a parameter meets the data, the data flow through it
                node.shape = tuple(results[0].shape[1:])
                node.sources |= others
                self._unmixed.discard(name)
                sources = sources - others
        for tensor in results:
            self._made[id(tensor)] = (tensor, sources)

    def _hook(self, name: str) -> Any:
        def ran(module: nn.Module, given: Any, result: Any) -> None:
            results = list(_tensors(result))
            if not results:
                return
            shape = tuple(results[0].shape[1:])
            self.shapes.setdefault(name, shape)
            if name in self._modules:
                sources = NO_SOURCES.union(*(self._sources(tensor) for tensor in results))
                self._reach(name, shape).sources |= sources - {name}
                for tensor in results:
                    self._made[id(tensor)] = (tensor, frozenset({name}))

        return ran

    def _reach(self, name: str, shape: tuple[int, ...]) -> Node:
        node = self.nodes.setdefault(name, Node(shape))
        if node.order is None:
            node.order, node.phase = next(self._numbers), self.phase
        return node

    def _sources(self, tensor: Tensor) -> frozenset[str]:
        return self._made.get(id(tensor), (tensor, NO_SOURCES))[1]


class _Following(TorchFunctionMode):
    def __init__(self, flow: Dataflow) -> None:
        super().__init__()
        self._flow = flow

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._flow.computed((args, kwargs), result)
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _tensors([getattr(value, part.name) for part in dataclasses.fields(value)])
