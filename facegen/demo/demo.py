"""The whole way in one go, offline: rendered avatars to a trained, sampled and scored generator.

It is `facegen.making.make` of avatars, shown beside the model in the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from facegen.demo.options import DemoOptions
from facegen.demo.page import write_demo_report
from facegen.demo.pictures import draw_pictures
from facegen.formats.plain import plain
from facegen.making.make import Showing, make
from facegen.making.options import MakeOptions
from facegen.protocols import Progress

SMOKE_AVATARS = 64


@dataclass(frozen=True)
class DemoSummary:
    """Where everything lies, and the headline scores."""

    out: Path
    report: Path
    grid: Path
    seconds: dict[str, float]
    attributes: dict[str, Any]
    fid: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def demo(out: Path, options: DemoOptions | None = None, progress: Progress | None = None) -> DemoSummary:
    """Render, train, encode, sample, score and report into `out`; return where things are.

    Raises:
        UsageError: `out` holds a demo made with other settings.
        StorageError: the disk is full; run the same command again once there is room.
    """
    options = options or DemoOptions()
    smoke = options.size == "smoke"
    rows, switch_rows = (2, 1) if smoke else (6, 3)
    asked = MakeOptions(
        minutes=options.minutes,
        seed=options.seed,
        kind="avatars",
        scale=options.size,
        num_drawn=SMOKE_AVATARS if smoke else options.num_avatars,
        num_scored=options.num_scored,
    )
    draw = partial(draw_pictures, seed=options.seed, rows=rows, switch_rows=switch_rows)
    made = make(None, out, asked, progress, Showing(draw, write_demo_report))
    return DemoSummary(
        made.out, made.report, made.grid, made.took, made.scores["attributes"], made.scores["fid"]
    )
