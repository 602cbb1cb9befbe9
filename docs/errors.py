"""Makes docs/errors.md from the code: every error that a user can cause.

python docs/errors.py
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from facegen import errors
from facegen.errors import FacegenError

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "errors.md"
PACKAGE = DOCS.parent / "facegen"
KINDS: dict[str, type[FacegenError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, FacegenError) and kind is not FacegenError
}
GAP = "…"
WORDS: dict[str, str] = {}  # of the package's modules: constants that are words, which messages put in
HEAD = """# Errors

Every error that a user can cause, with what is said and how it is mended; … is what differs from case to
case. From Python errors are a `facegen.errors.FacegenError`; on the command line they are told without a
traceback and end with the exit code of their kind. `python docs/errors.py` makes this page from the code, and
a test compares the two.
"""


def page() -> str:
    """The whole page."""
    found: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    files = {file: ast.parse(file.read_text("utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
    for tree in files.values():
        WORDS.update(_constants(tree))
    for file, tree in files.items():
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for kind, line in _told(tree):
            found[kind][room][line] = None
    parts = [HEAD]
    for name, kind in KINDS.items():
        if name not in found:
            continue
        about = (kind.__doc__ or "").splitlines()[0]
        parts.append(f"## {name}\n\n{about}\n")
        for room, lines in sorted(found[name].items()):
            parts.append(f"### {name}: {room}\n\n" + "\n".join(sorted(lines)) + "\n")
    return "\n".join(parts)


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names and words of a module's constants."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _text(node.value)
            if GAP not in text and text and node.targets[0].id.isupper():
                yield node.targets[0].id, text


def _told(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Kind and line of every error that is made in a file."""
    for node in ast.walk(tree):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name not in KINDS or not isinstance(node, ast.Call) or not node.args:
            continue
        message = " ".join(_text(node.args[0]).split())
        hint = next((_text(word.value) for word in node.keywords if word.arg == "hint"), "")
        mend = " ".join(hint.split())
        if message.strip(GAP + " '.:"):
            mended = f" *{_plain(mend)}*" if mend.strip(GAP) else ""
            yield name, f"- {_plain(message)}{mended}"


def _text(node: ast.AST) -> str:
    """The words of an expression that makes text, … for what is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "" if node.value is None else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return _text(node.value) if isinstance(node.value, ast.Name) else GAP
    if isinstance(node, ast.Name):
        return WORDS.get(node.id, GAP)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        ways = [text for text in (_text(node.body), _text(node.orelse)) if text]
        return " / ".join(ways)
    if isinstance(node, ast.BoolOp):
        return next((text for text in map(_text, node.values) if text.strip(GAP)), GAP)
    return GAP


def _plain(text: str) -> str:
    """Text as markdown shows it unchanged."""
    for sign in "\\`*_<>[]|":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
