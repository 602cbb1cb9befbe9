"""Where facegen keeps what it can compute or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """`FACEGEN_CACHE`, otherwise a folder in the user's cache."""
    if named := os.environ.get("FACEGEN_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegen"
