"""From steps to a diagram: columns, groups of one resolution, folded repeats, where a condition enters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace

from facegen.nn.dataflow import Dataflow
from facegen.plotting.architecture.diagram import Box, Diagram, Group, Part, Role, Signal, shape_text
from facegen.plotting.architecture.module_steps import (
    ASIDE,
    COLUMNS,
    CONDITION,
    UP,
    Edges,
    Step,
    skips_of,
    steps_of,
)
from facegen.plotting.architecture.module_units import Unit

STAGES, BLOCKS, PARTS = DEPTHS = (1, 2, 3)


def diagram_of(units: Sequence[Unit], flow: Dataflow, depth: int) -> Diagram:
    """The diagram of a watched module: at `depth` 1 its stages, 2 their blocks, 3 the blocks' parts."""
    steps, edges = steps_of(units, flow)
    entering = _entering(steps, edges)
    bent = any(step.column == UP for step in steps)
    columns: dict[str, tuple[Group, ...]] = {}
    key_of: dict[str, str] = {}
    for column in COLUMNS:
        members = [step for step in steps if step.column == column]
        if column == CONDITION:
            stages = [("", _chained(members, edges))] if members else []
        else:
            stages = _by_phase(members) if column == ASIDE else _by_size(members)
        groups = []
        for title, some in stages:
            group = _group(title, some, entering, key_of, depth)
            if depth == STAGES and title:
                words = f"{column if bent else 'stage'}, {title}" if column != ASIDE else title
                group = _collapsed(group, words)
                key_of.update({step.key: group.boxes[0].key for step in some})
            groups.append(replace(group, panel=bent and bool(title) and depth != STAGES))
        columns[column] = tuple(groups)
    skips = skips_of(steps, edges)
    told = {step.key: step for step in steps}
    plain = {(a, b) for a, b in edges - set(skips) if a not in entering.get(b, ())}
    plain -= _shortcuts(told, plain)
    counted = Counter((key_of[a], key_of[b]) for a, b in skips)
    return Diagram(
        **columns,
        flows=frozenset((key_of[a], key_of[b]) for a, b in plain if key_of[a] != key_of[b]),
        skips=tuple((*pair, number) for pair, number in counted.items()),
        signals=_signals(entering, told, edges, key_of),
    )


def _entering(steps: Sequence[Step], edges: Edges) -> dict[str, frozenset[str]]:
    """Steps of the network by key, each with the steps of the condition that flow straight into it."""
    side = {step.key for step in steps if step.column == CONDITION}
    main = {step.key for step in steps} - side
    return {key: frozenset(a for a, b in edges if b == key and a in side) for key in main}


def _chained(steps: list[Step], edges: Edges) -> list[Step]:
    """The steps so that what follows from one stands right behind it where it can."""
    left, chained = list(steps), []
    while left:
        waiting = {step.key for step in left}
        ready = [step for step in left if not any(a in waiting for a, b in edges if b == step.key)]
        after = [step for step in ready if chained and (chained[-1].key, step.key) in edges]
        chained.append((after or ready or left)[0])
        left.remove(chained[-1])
    return chained


def _shortcuts(told: dict[str, Step], edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Edges from an input past boxes that it goes through as well, such as the mask of what is missing."""
    return {
        (a, b)
        for a, b in edges
        if told[a].role == "input" and any(a in _ancestors(c, edges) for c, d in edges if d == b)
    }


def _ancestors(key: str, edges: Collection[tuple[str, str]]) -> set[str]:
    found: set[str] = set()
    left = [key]
    while left:
        nearest = {a for a, b in edges if b == left[-1]} - found
        left.pop()
        found |= nearest
        left += nearest
    return found


def _by_phase(steps: Sequence[Step]) -> list[tuple[str, list[Step]]]:
    phases = dict.fromkeys(step.phase for step in steps)
    return [(phase, [step for step in steps if step.phase == phase]) for phase in phases]


def _by_size(steps: Sequence[Step]) -> list[tuple[str, list[Step]]]:
    """Neighbours of one resolution together, called after it."""
    stages: list[tuple[str, list[Step]]] = []
    for step in steps:
        title = shape_text(step.size) if step.size else ""
        before = stages[-1][1][-1] if stages else step
        alone = not step.size and "input" in (step.role, before.role)
        if stages and stages[-1][0] == title and not alone:
            stages[-1][1].append(step)
        else:
            stages.append((title, [step]))
    return stages


def _group(
    title: str, steps: Sequence[Step], entering: dict[str, frozenset[str]], key_of: dict[str, str], depth: int
) -> Group:
    signatures: list[Hashable] = [
        (step.name, step.role, step.shape, entering.get(step.key)) if step.role != "input" else step.key
        for step in steps
    ]
    runs = []
    for start, period, repeats in _repeats(signatures):
        run = []
        for offset in range(start, start + period):
            same = [steps[offset + turn * period] for turn in range(repeats)]
            key_of.update({step.key: same[0].key for step in same})
            run.append(_box(same, with_parts=depth == PARTS))
        runs.append(tuple(run))
    return Group(title, tuple(runs))


def _repeats(signatures: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """(start, period, repeats) of the runs that `signatures` consist of, the longest first come."""
    runs, start = [], 0
    while start < len(signatures):
        best = (1, 1)
        for period in range(1, (len(signatures) - start) // 2 + 1):
            pattern, repeats = signatures[start : start + period], 1
            while signatures[start + repeats * period : start + (repeats + 1) * period] == pattern:
                repeats += 1
            if repeats > 1 and period * repeats > best[0] * best[1]:
                best = (period, repeats)
        runs.append((start, *best))
        start += best[0] * best[1]
    return runs


def _box(steps: Sequence[Step], *, with_parts: bool) -> Box:
    first = steps[0]
    parts: dict[str, Part] = {}
    for step in steps if with_parts else ():
        names = [part.name for part in step.parts]
        for number, part in enumerate(step.parts):
            turn = names[: number + 1].count(part.name)
            name = part.name if turn == 1 else f"{part.name} {turn}"
            known = parts.get(name, Part(name, part.shape, 0))
            parts[name] = replace(known, parameters=known.parameters + part.parameters)
    return Box(
        key=first.key,
        name=first.name,
        role=first.role,
        shape=first.shape,
        parameters=sum(step.parameters for step in steps),
        repeats=len(steps),
        parts=tuple(parts.values()) if len(parts) > 1 else (),
    )


def _collapsed(group: Group, name: str) -> Group:
    """One box for a whole stage."""
    boxes = group.boxes
    roles: list[Role] = [box.role for box in boxes]
    role: Role = "attention" if "attention" in roles else "convolution"
    box = Box(
        key=boxes[0].key,
        name=name,
        role=role,
        shape=boxes[-1].shape,
        parameters=sum(box.parameters for box in boxes),
        contents=tuple(box.title for box in boxes),
    )
    return Group(group.title, ((box,),))


def _signals(
    entering: dict[str, frozenset[str]], told: dict[str, Step], edges: Edges, key_of: dict[str, str]
) -> tuple[Signal, ...]:
    targets: dict[tuple[frozenset[str], bool], list[str]] = {}
    for key in told:
        for is_tokens in (False, True):
            given = frozenset(a for a in entering.get(key, ()) if (len(told[a].shape) == 2) == is_tokens)
            if given:
                targets.setdefault((given, is_tokens), []).append(key)
    signals = []
    for (sources, is_tokens), keys in targets.items():
        units = [unit for key in keys for unit in told[key].units]
        ways = dict.fromkeys(unit.takes_tokens if is_tokens else unit.takes_vector for unit in units)
        origins = _origins(sources, told, edges)
        name = f"{' and '.join(origins)}: {', '.join(ways)}"
        sides = tuple(dict.fromkeys(key_of[key] for key in told if key in sources))
        signals.append(Signal(name, sides, tuple(dict.fromkeys(key_of[key] for key in keys)), is_tokens))
    return tuple(signals)


def _origins(keys: frozenset[str], told: dict[str, Step], edges: Edges) -> list[str]:
    """Names of the inputs that `keys` come from."""
    found = keys.union(*(_ancestors(key, edges) for key in keys))
    return [key for key, step in told.items() if key in found and step.role == "input"]
