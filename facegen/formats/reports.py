"""Reports as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

REPORT_FORMAT_VERSION = 1


def report_json(metric: str, report: Any) -> dict[str, Any]:
    """A report dataclass as JSON data, headed by its format version and the metric's name.

    Paths become strings; numbers that are not finite, which JSON does not have, become None.
    """
    return plain({"format_version": REPORT_FORMAT_VERSION, "metric": metric, **asdict(report)})


def plain(value: Any) -> Any:
    """`value` made of what JSON has."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
