"""The steps of a watched forward pass: units in the order they ran, each in its column of the diagram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from facegen.nn.dataflow import Dataflow
from facegen.plotting.architecture.diagram import Part, Role, Shape
from facegen.plotting.architecture.module_units import RESHAPERS, Unit

CONDITION, DOWN, BOTTOM, UP, ASIDE = COLUMNS = ("condition", "down", "bottom", "up", "aside")
COLUMN_OF_PHASE = {
    "condition": CONDITION,
    "main": DOWN,
    "encode": DOWN,
    "latent": BOTTOM,
    "decode": UP,
    "class head": ASIDE,
    "discriminator": ASIDE,
}
SHORT = {"group norm": "norm", "layer norm": "norm", "RMS norm": "norm"}
LEADING = {*SHORT, "patches to channels"}  # layers that are told together with the next one
Edges = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """Units that are told together, an input or an output; `key` is the first one's path."""

    key: str
    name: str
    role: Role
    shape: Shape
    column: str
    phase: str
    units: tuple[Unit, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(unit.parameters for unit in self.units)

    @property
    def size(self) -> tuple[int, ...]:
        """Rows and columns of a map; nothing for anything else, and for inputs and outputs."""
        return self.shape[1:] if len(self.shape) == 3 and self.role != "input" else ()


@dataclass(frozen=True)
class _Place:
    order: float
    column: str
    phase: str
    shape: Shape


def steps_of(units: Sequence[Unit], flow: Dataflow) -> tuple[list[Step], Edges]:
    """All steps in order, and which flows into which by their keys."""
    places = _places(units, flow)
    by_path = {unit.path: unit for unit in units}
    clusters: list[list[str]] = []
    for path in sorted(places, key=lambda path: places[path].order):
        if clusters and _belongs(clusters[-1], path, by_path, flow):
            clusters[-1].append(path)
        else:
            clusters.append([path])
    steps = [_step(cluster, by_path, places, flow) for cluster in clusters]
    key_of = {path: cluster[0] for cluster in clusters for path in cluster}
    pairs = ((source, name) for name, node in flow.nodes.items() for source in node.sources)
    edges = frozenset((key_of[a], key_of[b]) for a, b in pairs if key_of[a] != key_of[b])
    return _bent(steps, edges), edges


def skips_of(steps: Iterable[Step], edges: Edges) -> list[tuple[str, str]]:
    """Edges between steps of the network itself that jump over others."""
    order = {step.key: number for number, step in enumerate(steps) if step.column in (DOWN, BOTTOM, UP)}
    within = [(a, b) for a, b in edges if a in order and b in order]
    latest: dict[str, int] = {}
    for a, b in within:
        latest[b] = max(latest.get(b, -1), order[a])
    return sorted((a, b) for a, b in within if order[a] < latest[b])


def _places(units: Sequence[Unit], flow: Dataflow) -> dict[str, _Place]:
    """Where every unit, input and output belongs; one that was not reached stands behind its relatives."""
    paths = {unit.path for unit in units}
    reached = {name: node.order for name, node in flow.nodes.items() if node.order is not None}
    main: set[str] = set()
    for name in sorted(reached, key=lambda name: reached[name]):
        node = flow.nodes[name]
        if node.sources & main or (name not in paths and node.phase != "condition"):
            main.add(name)
    places = {}
    for name, order in reached.items():
        node = flow.nodes[name]
        column = COLUMN_OF_PHASE[node.phase] if name in main else CONDITION
        places[name] = _Place(order, column, node.phase, node.shape)
    for unit in units:
        if unit.path not in reached:
            near = places[max(reached, key=lambda name: (_kinship(name, unit.path), reached[name]))]
            order = max(places[name].order for name in reached if flow.nodes[name].phase == near.phase)
            shape = flow.nodes[unit.path].shape if unit.path in flow.nodes else ()
            places[unit.path] = replace(near, order=order + 0.5, shape=shape)
    return places


def _kinship(one: str, other: str) -> int:
    """How many names two paths share from the start."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), 0)


def _belongs(cluster: list[str], path: str, by_path: dict[str, Unit], flow: Dataflow) -> bool:
    """Whether a layer is told with those before it: norm and convolution, convolution and shuffle."""
    before, unit = by_path.get(cluster[-1]), by_path.get(path)
    if before is None or unit is None or not before.is_layer or not unit.is_layer:
        return False
    if path not in flow.nodes or flow.nodes[path].sources != {cluster[-1]}:
        return False
    if before.kind in LEADING:
        return f"{before.parent}.".startswith(f"{unit.parent}.")
    return before.parent == unit.parent and unit.kind in RESHAPERS.values() and unit.kind not in LEADING


def _step(cluster: list[str], by_path: dict[str, Unit], places: dict[str, _Place], flow: Dataflow) -> Step:
    units = tuple(by_path[path] for path in cluster if path in by_path)
    place = places[cluster[-1]]
    if not units:
        return Step(cluster[0], cluster[0], "input", place.shape, place.column, place.phase)
    head = next((unit for unit in units if unit.kind not in LEADING), units[-1])
    kinds = ", ".join(SHORT.get(unit.kind, unit.kind) if len(units) > 1 else unit.kind for unit in units)
    role = head.role
    if place.column == CONDITION and (head.is_layer or role == "other"):
        role = "conditioning"
    parts = tuple(
        Part(part.name, flow.shapes.get(part.path), part.parameters) for unit in units for part in unit.parts
    )
    place_words = next((unit.place for unit in units if unit.place), "")
    name = f"{place_words}: {kinds}" if place_words else kinds
    return Step(cluster[0], name, role, place.shape, place.column, place.phase, units, parts)


def _bent(steps: list[Step], edges: Edges) -> list[Step]:
    """A network with skips from its first to its second half as a U: down, bottom and up."""
    line = [step for step in steps if step.column == DOWN]
    skips = skips_of(line, edges)
    if not skips or any(step.column == UP for step in steps):
        return steps
    order = {step.key: number for number, step in enumerate(line)}
    first, last = max(order[a] for a, _ in skips) + 1, min(order[b] for _, b in skips)
    if first > last:
        return steps
    areas = [step.size[0] * step.size[1] for step in line[first:last] if step.size]
    smallest = min(areas, default=0)
    while first < last and _area(line[first]) > smallest:
        first += 1
    while last > first and _area(line[last - 1]) > smallest:
        last -= 1
    column = {step.key: DOWN if n < first else BOTTOM if n < last else UP for n, step in enumerate(line)}
    return [replace(step, column=column.get(step.key, step.column)) for step in steps]


def _area(step: Step) -> int:
    return step.size[0] * step.size[1] if step.size else 0
