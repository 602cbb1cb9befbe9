"""One forward pass of a module, in which every tensor remembers who made it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Set
from functools import partial
from typing import Any

import networkx as nx
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

Shape = tuple[int, ...]
Unit = nn.Module | nn.Parameter
NOBODY: frozenset[str] = frozenset()


class Trace(TorchFunctionMode):
    """Watches one forward pass of `root` with a batch of one: `with Trace(root, units) as trace: ...`.

    `graph` has units, inputs and outputs in the order they were reached, each with the `shape` of what it
    gives (without the batch), and edges from what that was really computed from: an argument that is ignored
    makes none. `shapes` are those of all modules that ran; `passing` are modules whose output is that of one
    inside; `meetings` are the functions in which tensors of different makers met, with these.
    """

    def __init__(self, root: nn.Module, units: Mapping[str, Unit]) -> None:
        super().__init__()
        self.graph = nx.DiGraph()
        self.shapes: dict[str, Shape] = {}
        self.passing: set[str] = set()
        self.meetings: dict[tuple[str, tuple[frozenset[str], ...]], None] = {}
        self._units = units
        self._makers: Any = WeakIdKeyDictionary()  # tensors, each with the names that it was made from
        self._givers: Any = WeakIdKeyDictionary()  # tensors, each with the last module that gave it
        for name, unit in units.items():
            if isinstance(unit, nn.Parameter):
                self._makers[unit] = frozenset({name})
        named = [(name, module) for name, module in root.named_modules() if name]
        self._hooks = [module.register_forward_hook(partial(self._ran, name)) for name, module in named]

    def __exit__(self, *error: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*error)

    def put(self, name: str, tensor: Tensor) -> Tensor:
        """Call `tensor` (1, *S), an input or an output, `name` from now on; returns it."""
        self._reach({name}, tuple(tensor.shape[1:]), self._makers.get(tensor, NOBODY))
        self._makers[tensor] = frozenset({name})
        return tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        results, given = list(_tensors(result)), list(_tensors((args, kwargs)))
        if results:
            makers = tuple(self._makers.get(tensor, NOBODY) for tensor in given)
            for names, tensor in zip(makers, given, strict=True):
                if isinstance(tensor, nn.Parameter):
                    self._reach(names, tuple(tensor.shape), NOBODY)
            if len({*makers} - {NOBODY}) > 1:
                self.meetings[func.__name__.strip("_").replace("_", " "), makers] = None
            for tensor in results:
                self._makers[tensor] = NOBODY.union(*makers)
        return result

    def _ran(self, name: str, module: nn.Module, given: Any, result: Any) -> None:
        results = list(_tensors(result))
        if not results:
            return
        shape = tuple(results[0].shape[1:])
        before = next((tuple(tensor.shape[1:]) for tensor in _tensors(given)), shape)
        self.shapes.setdefault(name, shape)
        if self._givers.get(results[0], "").startswith(f"{name}."):
            self.passing.add(name)
        self._givers[results[0]] = name
        if name in self._units and (before != shape or count(module)):
            makers = NOBODY.union(*(self._makers.get(tensor, NOBODY) for tensor in results))
            self._reach({name}, shape, makers - {name})
            for tensor in results:
                self._makers[tensor] = frozenset({name})

    def _reach(self, names: Set[str], shape: Shape, makers: Set[str]) -> None:
        for name in names:
            if name not in self.graph:
                self.graph.add_node(name, shape=shape)
            self.graph.add_edges_from((maker, name) for maker in sorted(makers))


def count(unit: Unit, counted: set[int] | None = None) -> int:
    """How many numbers are in a module or parameter, but for parameters (by id) `counted` before."""
    counted = set() if counted is None else counted
    parameters = [unit] if isinstance(unit, nn.Parameter) else list(unit.parameters())
    new = {id(parameter): parameter.numel() for parameter in parameters if id(parameter) not in counted}
    counted |= set(new)
    return sum(new.values())


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers and dataclasses."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif dataclasses.is_dataclass(leaf):
            yield from _tensors(vars(leaf))
