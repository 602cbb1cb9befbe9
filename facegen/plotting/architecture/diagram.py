"""A network as boxes: blocks, single layers and bare parameters, with every parameter in exactly one of them.

Nothing is known of any network beforehand. What only passes on what a block inside it gave is a stage and is
opened; a block adds something of its own, such as the sum of a residual.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import networkx as nx
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from facegen.plotting.architecture.trace import Shape, Trace, Unit, count

CONDITION, DOWN, UP, ASIDE = COLUMNS = ("condition", "down", "up", "aside")
STAGES, BLOCKS, PARTS = DEPTHS = (1, 2, 3)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
Edges = Set[tuple[str, str]]
Run = Callable[[Trace], tuple[str, str]]  # puts inputs and outputs, returns the data's way in and out


@dataclass(frozen=True)
class Box:
    """`members` are the units in it, an input or an output; `note` tells the attention that is inside.

    `shape` is None of what has no output of its own. `parts` sum to the parameters.
    """

    members: tuple[str, ...]
    name: str
    kind: str
    shape: Shape | None
    parameters: int = 0
    note: str = ""
    parts: tuple[Box, ...] = ()

    @property
    def key(self) -> str:
        return self.members[0]


@dataclass(frozen=True)
class Group:
    """Boxes in the order of the flow, such as those of one resolution. Boxes of one run take turns."""

    title: str
    runs: tuple[tuple[Box, ...], ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(box for run in self.runs for box in run)


@dataclass(frozen=True)
class Link:
    """What flows from all `sources` to each of `targets` far away; `words` say what, and how it enters."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Diagram:
    """Columns of groups: what makes the condition, the way down, the way up, and what judges the output.

    Keys of boxes tell what flows: `flows` to the next box, `skips` from the way down to the way up with their
    number, `links` anywhere else.
    """

    columns: Mapping[str, tuple[Group, ...]]
    flows: Edges
    skips: Mapping[tuple[str, str], int]
    links: tuple[Link, ...]
    depth: int

    @property
    def boxes(self) -> list[Box]:
        """All boxes, column by column."""
        return [box for groups in self.columns.values() for group in groups for box in group.boxes]


def diagram_of(root: nn.Module, run: Run, depth: int) -> Diagram:
    """The diagram of `root`: at `depth` 1 its stages, 2 their blocks, 3 the blocks' parts."""
    root.eval()
    trace, _ = _traced(root, {}, run)
    units = dict(_units(root, trace.passing))
    trace, way = _traced(root, units, run)
    graph = trace.graph
    column = _columns(graph, units, *way)
    place = {key: number for number, key in enumerate(column)}
    latest = {b: max((place[a] for a in graph.pred[b]), default=0) for b in graph}
    skips = [(a, b) for a, b in graph.edges if (column[a], column[b]) == (DOWN, UP) and place[a] < latest[b]]
    counted: set[int] = set()
    boxes = [_box(key, units.get(key), trace, column[key] == CONDITION, counted, depth) for key in column]
    given = {b: {a for a in graph.pred[b] if column[a] == CONDITION != column[b]} for b in graph}
    columns = {
        name: tuple(_groups([box for box in boxes if column[box.key] == name], name, given, depth))
        for name in COLUMNS
    }
    runs = [run for groups in columns.values() for group in groups for run in group.runs]
    key_of = {member: box.key for run in runs for box in run for member in box.members}
    pairs = {edge: (key_of[edge[0]], key_of[edge[1]]) for edge in graph.edges}
    skipped = Counter(pairs.pop(edge) for edge in skips)
    near = _near(columns, set(pairs.values()))
    turns = {(a.key, b.key) for run in runs for a in run for b in run}
    far = {edge for edge, pair in pairs.items() if pair not in near | turns}
    links = _links(trace, units, column, far, key_of)
    return Diagram(columns, near & set(pairs.values()), skipped, links, depth)


def _traced(root: nn.Module, units: Mapping[str, Unit], run: Run) -> tuple[Trace, tuple[str, str]]:
    """One forward pass, of shapes alone; computed only for a network that looks at its numbers."""
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), Trace(root, units) as trace:
            return trace, run(trace)
    except RuntimeError:
        with torch.no_grad(), Trace(root, units) as trace:
            return trace, run(trace)


def shape_text(shape: Shape | None) -> str:
    """ "256 × 8 × 8"; a single length is a vector's."""
    return "" if shape is None else " × ".join(map(str, shape)) or "scalar"


def _units(module: nn.Module, passing: Set[str], path: str = "") -> Iterator[tuple[str, Unit]]:
    yield from ((f"{path}{name}", parameter) for name, parameter in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        network = not path and isinstance(module, nn.ModuleDict)  # one beside others: always opened
        stage = f"{path}{name}" in passing and _blocks(child)
        if not _is_layer(child) and (network or stage or isinstance(child, CONTAINERS)):
            yield from _units(child, passing, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def _blocks(module: nn.Module) -> int:
    """How many modules with layers of their own it holds, itself or in a container."""
    return sum(
        _blocks(child) if isinstance(child, CONTAINERS) else not _is_layer(child) and count(child) > 0
        for child in module.children()
    )


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _columns(graph: nx.DiGraph, units: Mapping[str, Unit], start: str, end: str) -> dict[str, str]:
    """The column of every unit, input and output, in order."""
    after, before = nx.descendants(graph, start) | {start}, nx.ancestors(graph, end) | {end}
    column = {key: (DOWN if key in before else ASIDE) if key in after else CONDITION for key in graph}
    line = [key for key in graph if column[key] == DOWN]
    column |= dict.fromkeys(line[_turn(graph, line, units) :], UP)
    side = nx.DiGraph([(b, a) for a, b in graph.edges if column[a] == column[b] == CONDITION])
    order = list(dict.fromkeys([*nx.dfs_postorder_nodes(side), *graph]))  # what follows stands right behind
    for key, unit in units.items():
        if key not in graph and count(unit):  # never reached: before its nearest relative
            near = max(order, key=lambda other: _shared(key, other))
            order.insert(order.index(near), key)
            column[key] = column[near]
    return {key: column[key] for key in order}


def _shared(one: str, other: str) -> int:
    """How many names of two paths are the same."""
    return sum(a == b for a, b in zip(one.split("."), other.split("."), strict=False))


def _turn(graph: nx.DiGraph, line: Sequence[str], units: Mapping[str, Unit]) -> int:
    """Where the way up starts: between the skips where maps are smallest, else behind a latent."""
    place = {key: number for number, key in enumerate(line)}
    taken = {b: sorted(place[a] for a in graph.pred[b] if a in place) for b in line}
    low = max((place for places in taken.values() for place in places[:-1]), default=0)
    high = min((place[b] for b, places in taken.items() if places[1:]), default=len(line))
    if low < high < len(line):
        sizes = {n: math.prod(graph.nodes[line[n]]["shape"][1:]) for n in range(low, high)}
        return max(n for n in sizes if sizes[n] == min(sizes.values())) + 1
    return next((n + 1 for n, key in enumerate(line[:-1]) if n and key not in units), len(line))


def _box(key: str, unit: Unit | None, trace: Trace, conditions: bool, counted: set[int], depth: int) -> Box:
    graph = trace.graph
    shape = graph.nodes[key]["shape"] if key in graph else None
    if unit is None:
        return Box((key,), key, "input", shape)
    if isinstance(unit, nn.Parameter):
        kind = "conditioning" if conditions else "embedding"
        return Box((key,), _end(key), kind, tuple(unit.shape), count(unit, counted))
    layer = _is_layer(unit)
    name = _named(_end(key).partition(".")[0], unit) if _is_torchs(unit) else type(unit).__name__
    size = () if shape is None else shape[1:]
    sizes = [graph.nodes[a]["shape"][1:] for a in (graph.pred[key] if size else ())]
    resizes = len(size) == 2 and any(len(each) == 2 and each != size for each in sizes)
    kind = "conditioning" if layer and conditions else _kind(unit, resizes)
    parts = [
        Box((path,), _named(_end(path), part), kind, trace.shapes.get(path), count(part, counted))
        for path, part in ([] if layer else _parts(unit, f"{key}."))
    ]
    number = count(unit, counted) + sum(part.parameters for part in parts)
    told = tuple(part for part in parts if part.parameters and depth == PARTS and len(parts) > 1)
    return Box((key,), name, kind, shape, number, _attention(unit), told)


def _parts(module: nn.Module, path: str) -> Iterator[tuple[str, Unit]]:
    """Parameters and children of a block; of children that hold several blocks, theirs."""
    yield from ((f"{path}{name}", parameter) for name, parameter in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        if isinstance(child, CONTAINERS) or _blocks(child) > 1:
            yield from _parts(child, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def _end(path: str) -> str:
    """The end of a path, from the last name that is no number."""
    head, _, tail = path.rpartition(".")
    return f"{_end(head)}.{tail}" if head and tail.isdigit() else tail


def _named(name: str, unit: Unit) -> str:
    """With the class of one of torch's layers, and the size of its kernel."""
    kernel = getattr(unit, "kernel_size", None)
    size = f" {shape_text(kernel)}" if isinstance(kernel, tuple) else ""
    return f"{name}: {type(unit).__name__}{size}" if _is_torchs(unit) else name


def _is_torchs(unit: Unit) -> bool:
    return isinstance(unit, nn.Module) and type(unit).__module__.startswith("torch.")


def _kind(module: nn.Module, resizes: bool) -> str:
    """What a module is mostly about, told from what is in it."""
    inside = list(module.modules())
    if _attention(module):
        return "attention"
    if resizes and sum(_is_layer(each) and count(each) > 0 for each in inside) < 2:
        return "resampling"
    if any(isinstance(each, nn.modules.conv._ConvNd) for each in inside):
        return "convolution"
    if "Embedding" in type(module).__name__:
        return "embedding"
    return "linear" if any(isinstance(each, nn.Linear) for each in inside) else "other"


def _attention(module: nn.Module) -> str:
    """Which attention is in a module, and its heads."""
    found: dict[str, int] = {}
    for each in module.modules():
        heads = getattr(each, "num_heads", getattr(each, "heads", None))
        if isinstance(heads, int):
            found["cross" if getattr(each, "is_cross_attention", False) else "self"] = heads
    return ", ".join(f"{name}-attention: {heads} heads" for name, heads in found.items())


def _groups(boxes: Sequence[Box], column: str, given: Mapping[str, Set[str]], depth: int) -> Iterator[Group]:
    """Neighbours of one resolution (of one network among the judges), repeats of them in one box."""
    titles: list[tuple[bool, str]] = []  # inputs and outputs stand apart
    for box in boxes:
        end, shape = box.kind == "input" and column != CONDITION, box.shape or ()
        if column == ASIDE:
            titles.append(titles[-1] if end and titles else (False, box.key.partition(".")[0]))
        else:
            untitled = end or column == CONDITION or len(shape) != 3
            titles.append((end, "" if untitled else shape_text(shape[1:])))
    for (_, title), pairs in groupby(zip(titles, boxes, strict=True), lambda pair: pair[0]):
        runs = tuple(_runs([box for _, box in pairs], given))
        if depth == STAGES and title:
            told = tuple(box for run in runs for box in run)
            kinds = [box.kind for box in told]
            kind = "attention" if "attention" in kinds else kinds[-1]
            note = ", ".join(dict.fromkeys(box.note for box in told if box.note))
            stage = _joined(told, f"stage {title}")
            runs = ((replace(stage, kind=kind, shape=told[-1].shape, note=note, parts=told),),)
        yield Group(title, runs)


def _runs(boxes: Sequence[Box], given: Mapping[str, Set[str]]) -> Iterator[tuple[Box, ...]]:
    """Repetitions among the boxes, the longest first, each box of a period joined with its repeats."""
    signs = [(box.name, box.shape, given.get(box.key), box.kind == "input" and box.key) for box in boxes]
    start = 0
    while start < len(boxes):
        period, repeats = 1, 1
        for length in range(1, (len(boxes) - start) // 2 + 1):
            turns = 1
            while signs[start + turns * length :][:length] == signs[start:][:length]:
                turns += 1
            if turns > 1 and length * turns > period * repeats:
                period, repeats = length, turns
        end = start + period * repeats
        names = [f"{repeats} × {box.name}" if repeats > 1 else box.name for box in boxes[start:][:period]]
        yield tuple(_joined(boxes[start + n : end : period], name) for n, name in enumerate(names))
        start = end


def _joined(boxes: Sequence[Box], name: str) -> Box:
    """One box for several, with parts of one name joined as well."""
    parts: dict[str, list[Box]] = {}
    for part in (part for box in boxes for part in box.parts):
        parts.setdefault(part.name, []).append(part)
    return replace(
        boxes[0],
        members=tuple(member for box in boxes for member in box.members),
        name=name,
        parameters=sum(box.parameters for box in boxes),
        parts=tuple(_joined(same, name) for name, same in parts.items()),
    )


def _near(columns: Mapping[str, tuple[Group, ...]], edges: Edges) -> Edges:
    """Pairs of boxes that a line can join: each and the next of its column, and the turn to the way up.

    Conditions that are summed all come by letter, also the one that happens to stand above.
    """
    lines = {name: [box.key for group in groups for box in group.boxes] for name, groups in columns.items()}
    turn = lines[DOWN][-1:] + lines[UP][:1]
    givers = Counter(b for a, b in edges if a != b)
    summed = {key for key in lines[CONDITION] if givers[key] > 1}
    return {(a, b) for line in (*lines.values(), turn) for a, b in pairwise(line) if b not in summed}


def _links(
    trace: Trace, units: Mapping[str, Unit], column: Mapping[str, str], far: Edges, key_of: Mapping[str, str]
) -> tuple[Link, ...]:
    """Far edges with the same targets as one, if they also enter by the same functions."""
    ways: dict[str, dict[str, None]] = {}
    for function, makers in trace.meetings:
        sides = [names for names in makers if names and all(column[name] == CONDITION for name in names)]
        if any(names and names not in sides for names in makers):
            for name in frozenset().union(*sides):
                ways.setdefault(name, {})[function] = None
    joined: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for source in column:
        targets = tuple(dict.fromkeys(key_of[b] for b in column if (source, b) in far))
        if targets:
            joined.setdefault((targets, tuple(ways.get(source, ()))), []).append(source)
    links = []
    for (targets, functions), sources in joined.items():
        origins = set(sources).union(*(nx.ancestors(trace.graph, key) for key in sources if key in units))
        words = [key for key in column if key in origins and key not in units] or map(_end, sources)
        how = f": {', '.join(functions)}" if functions else ""
        keys = tuple(dict.fromkeys(key_of[key] for key in sources))
        links.append(Link(keys, targets, " and ".join(words) + how))
    return tuple(links)
