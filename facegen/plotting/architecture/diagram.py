"""A network as boxes in columns: what `facegen.plotting.architecture.drawing` draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal[
    "input", "convolution", "resampling", "attention", "linear", "embedding", "conditioning", "other"
]
Shape = tuple[int, ...]
PARTS_IN_ONE_COLUMN = 4


@dataclass(frozen=True)
class Part:
    """A piece of a box: the shape of its output (None where it has none of its own) and its parameters."""

    name: str
    shape: Shape | None
    parameters: int


@dataclass(frozen=True)
class Box:
    """A block of the network, or `repeats` of them folded into one.

    `parameters` are those of all repeats. `parts` are told inside the box, in `part_columns`, and sum to it;
    `contents` are words on what is inside.
    """

    key: str
    name: str
    role: Role
    shape: Shape
    parameters: int = 0
    repeats: int = 1
    parts: tuple[Part, ...] = ()
    part_columns: int = 1
    contents: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.name if self.repeats == 1 else f"{self.repeats} × {self.name}"


@dataclass(frozen=True)
class Group:
    """Boxes in the order of the flow that belong together, such as those of one resolution.

    A run of several boxes takes turns: all of them once, then all again, as often as their `repeats` say.
    """

    title: str
    runs: tuple[tuple[Box, ...], ...]
    panel: bool = False  # drawn on a ground of its own, under its title

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(box for run in self.runs for box in run)


@dataclass(frozen=True)
class Signal:
    """A condition that enters the boxes `targets`; it is the sum, or one, of what `sources` give."""

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    is_tokens: bool = False


@dataclass(frozen=True)
class Diagram:
    """Columns of groups, each in the order of the flow, and what flows between boxes by their keys.

    `condition` stands left; `down` leads to `bottom`, `bottom` to `up`, which is drawn from below; `aside`
    are judges of what comes out. `skips` are pairs of boxes with their number of tensors. In a network
    without an upward way everything is in `down`.
    """

    condition: tuple[Group, ...]
    down: tuple[Group, ...]
    bottom: tuple[Group, ...] = ()
    up: tuple[Group, ...] = ()
    aside: tuple[Group, ...] = ()
    flows: frozenset[tuple[str, str]] = frozenset()
    skips: tuple[tuple[str, str, int], ...] = ()
    signals: tuple[Signal, ...] = ()

    def boxes(self) -> Iterator[Box]:
        """All boxes, column by column."""
        for group in self.groups():
            yield from group.boxes

    def groups(self) -> tuple[Group, ...]:
        """All groups, column by column."""
        return (*self.condition, *self.down, *self.bottom, *self.up, *self.aside)

    def in_part_columns(self, number: int) -> Diagram:
        """The same with the parts of a box in `number` columns, where a box has more than four."""

        def told(box: Box) -> Box:
            return replace(box, part_columns=number if len(box.parts) > PARTS_IN_ONE_COLUMN else 1)

        def column(groups: tuple[Group, ...]) -> tuple[Group, ...]:
            return tuple(
                replace(group, runs=tuple(tuple(map(told, run)) for run in group.runs)) for group in groups
            )

        return replace(
            self,
            condition=column(self.condition),
            down=column(self.down),
            bottom=column(self.bottom),
            up=column(self.up),
            aside=column(self.aside),
        )


def shape_text(shape: Shape | None) -> str:
    """ "256 × 8 × 8"; a single length is a vector's."""
    if shape is None:
        return ""
    return " × ".join(str(length) for length in shape) if shape else "scalar"
