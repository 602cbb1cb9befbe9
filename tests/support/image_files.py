"""Folders of files that are called like images; reading labels opens none of them."""

from __future__ import annotations

from pathlib import Path


def write_files(root: Path, *names: str) -> Path:
    """Write files of these names below `root`, each holding its name; returns `root`."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root
