"""docs/python.md: its blocks by title, and the sampler that one of them writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", PAGE.read_text("utf-8"), re.S | re.M)


def sampler_of_the_page() -> Any:
    """`own_sampler` of the block "A sampler of your own", as it stands there."""
    block = dict(BLOCKS)["A sampler of your own"]
    names: dict[str, Any] = {}
    exec(block[: block.index("*_, last")], names)
    return names["own_sampler"]
