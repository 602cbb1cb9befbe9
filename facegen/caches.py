"""Where facegen keeps what it can compute or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "FACEGEN_CACHE"


def user_cache() -> Path:
    """The folder in `CACHE_VARIABLE`, otherwise a folder in the user's cache."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegen"
