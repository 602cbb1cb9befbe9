"""What is sent to the hub of a folder, by its names there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegen.formats.far import shared_path
from facegen.formats.far_store import is_far
from facegen.formats.hub_files import RepoType

CARD = "README.md"
Content = Path | bytes


@dataclass(frozen=True)
class Package:
    """Files by their names in the repository: on this disk, or written for it. `left_out` says of what stays
    here why; `for_few` why not everybody may see the repository, None where everybody may."""

    repo_type: RepoType
    files: Mapping[str, Content]
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    for_few: str | None = None

    def size_bytes(self, name: str) -> int:
        """Bytes of one file."""
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def without_places(value: Any) -> Any:
    """Plain data in which absolute paths of this machine are as files that people share tell them."""
    if isinstance(value, Mapping):
        return {key: without_places(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(one) for one in value]
    if not isinstance(value, str) or is_far(value):
        return value
    kind, colon, path = value.rpartition(":")
    if not path.startswith("/") or " " in path:  # words, in which only people can tell what a path is
        return value
    return f"{kind}{colon}{shared_path(Path(path))}"
