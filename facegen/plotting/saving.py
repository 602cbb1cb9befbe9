"""Where a figure goes, and how it and its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen.errors import UsageError
from facegen.formats.files import atomic_write
from facegen.plotting.style import FIGURE_DPI, SUFFIXES, Plot, figure_bytes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PlotSummary:
    """The file of a figure, the file of its numbers, and what is told about it."""

    path: Path
    csv: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "csv": None if self.csv is None else str(self.csv), **self.facts}


def figure_path(
    out: Path | None, subject: Path | str, name: str, suffixes: tuple[str, ...] = SUFFIXES
) -> Path:
    """`out`, or `plots/SUBJECT-NAME` with the first of `suffixes`.

    Raises:
        UsageError: a suffix that is not one of `suffixes`, or a folder in the way.
    """
    if out is None:
        return Path("plots") / f"{Path(subject).resolve().name}-{name}{suffixes[0]}"
    if out.suffix.lower() not in suffixes:
        raise UsageError(
            f"--out '{out}' ends in '{out.suffix}', which this figure cannot be saved as.",
            hint=f"Its formats: {', '.join(suffixes)}.",
        )
    if out.is_dir():
        raise UsageError(f"--out '{out}' is a folder.", hint=f"Name a file: {out / name}{suffixes[0]}")
    return out


def save_plot(
    plot: Plot,
    path: Path,
    *,
    csv: bool = False,
    dpi: int = FIGURE_DPI,
    facts: Mapping[str, Any] | None = None,
) -> PlotSummary:
    """Write the figure, in the format of the suffix, and its table beside it if `csv`.

    Raises:
        StorageError: the disk is full or does not let it be written.
    """
    content = figure_bytes(plot.figure, path.suffix.lower(), dpi)
    return save_content(content, path, plot.table if csv else None, facts or {})


def save_content(
    content: bytes, path: Path, table: pd.DataFrame | None, facts: Mapping[str, Any]
) -> PlotSummary:
    """Write a figure's or an animation's bytes, and `table` beside them.

    Raises:
        StorageError: the disk is full or does not let it be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, content)
    numbers = None
    if table is not None:
        numbers = path.with_suffix(".csv")
        atomic_write(numbers, table.to_csv(index=False))
    return PlotSummary(path, numbers, dict(facts))
