"""What a dry run tells, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.console import duration_text
from facegen.cli.results import print_facts

if TYPE_CHECKING:
    from facegen.forecast import Forecast


def print_forecast(told: Forecast) -> None:
    """Time, memory and disk of a command that was only tried."""
    print_facts(
        {
            "Would make": f"{told.count:,} {told.what}",
            "Time": duration_text(told.seconds),
            "Memory": f"{told.memory_bytes / 1e6:,.0f} MB" if told.memory_bytes else None,
            "Disk": f"{told.disk_bytes / 1e6:,.1f} MB",
            "Tried": f"{told.probed:,} {told.what}, {duration_text(told.probe_seconds)}",
        }
    )
