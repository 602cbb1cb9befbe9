"""The page of everything that `import facegen` offers, by the docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

STUB = Path(__file__).resolve().parents[2] / "facegen" / "__init__.pyi"
HEAD = """# Python API

Everything that `from facegen import ...` offers, by its home in the package.
[Thirteen tasks](../python.md) show most of it at work.
"""


def pages() -> dict[str, str]:
    """Where the page stands, and its markdown."""
    parts, room = [HEAD], ""
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if (there := node.module.partition(".")[0]) != room:
            room = there
            parts.append(f"## facegen.{room}\n")
        parts += [f"::: facegen.{node.module}.{name.name}\n" for name in node.names]
    return {"reference/python.md": "\n".join(parts)}
