"""What mkdocs makes of this repository beyond the pages under docs/.

Pages made from the code stand under reference/; files outside docs/ that pages link to stand under
repository/, so that every link leads somewhere without a network too. A line of the nav that ends in / is
every page of that folder.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import command_pages
import python_pages
import recipe_pages
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS, OUTSIDE = "docs/", "repository/"
MADE = (command_pages, recipe_pages, python_pages)  # each offers pages(): where one stands, and its markdown
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add what is made from the code, the table of the decisions, and what is linked to outside docs/."""
    made = {uri: text for maker in MADE for uri, text in maker.pages().items()}
    made["decisions/index.md"] = _contents("Decisions", sorted((ROOT / "docs/decisions").glob("*.md")))
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    waiting = [*files.documentation_pages(), _add(files, config, "CHANGELOG.md")]
    while waiting:
        page = waiting.pop()
        for path in _targets(page.content_string, page.src_uri):
            if (ROOT / path).is_file() and files.get_file_from_path(_uri(path)) is None:
                added = _add(files, config, path)
                waiting += [added] if added.is_documentation_page() else []
    config.nav = _opened(config.nav, files)
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links that lead out of docs/, or to a folder, to where the site has it."""

    def turned(link: re.Match[str]) -> str:
        path = _path(link[1], page.file.src_uri)
        if (ROOT / path).is_dir():
            path += "/README.md" if (ROOT / path / "README.md").exists() else "/index.md"
        elif not (ROOT / path).is_file():
            return link[0]  # between pages that are made
        return posixpath.relpath(_uri(path), posixpath.dirname(page.file.src_uri))

    return LINK.sub(turned, markdown)


def _add(files: Files, config: Any, path: str) -> File:
    added = File.generated(config, _uri(path), abs_src_path=str(ROOT / path))
    files.append(added)
    return added


def _targets(markdown: str, uri: str) -> set[str]:
    return {_path(link, uri) for link in LINK.findall(markdown)}


def _path(link: str, uri: str) -> str:
    """Where in the repository a link of the page at `uri` leads."""
    page = uri.removeprefix(OUTSIDE) if uri.startswith(OUTSIDE) else DOCS + uri
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _uri(path: str) -> str:
    """Where in the site a file of the repository stands."""
    return path.removeprefix(DOCS) if path.startswith(DOCS) else OUTSIDE + path


def _opened(nav: Any, files: Files) -> Any:
    """The nav with every page of a folder in place of the folder."""
    if isinstance(nav, dict):
        return {title: _opened(inner, files) for title, inner in nav.items()}
    if isinstance(nav, list):
        opened = [_opened(one, files) for one in nav]
        return [page for one in opened for page in (one if isinstance(one, list) else [one])]
    if not nav.endswith("/"):
        return nav
    inside = [page.src_uri for page in files.documentation_pages() if page.src_uri.startswith(nav)]
    return sorted(inside, key=lambda uri: posixpath.basename(uri) not in ("index.md", "README.md"))


def _contents(title: str, pages: list[Path]) -> str:
    heads = {page.name: page.read_text("utf-8").partition("\n")[0].removeprefix("# ") for page in pages}
    return f"# {title}\n\n" + "".join(f"- [{head}]({name})\n" for name, head in heads.items())
