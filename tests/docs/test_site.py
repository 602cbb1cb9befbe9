"""The documentation's site: built without a warning, whole, and at home without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from support.command_lines import all_commands

import facegen
from facegen.config.composition import compose, preset_names
from facegen.config.kinds import kinds_of, load_kind
from facegen.config.recipe import FAMILY_OF_SECTION

pytest.importorskip("mkdocs", reason="the site is made with mkdocs: pip install 'facegen[docs]'")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Page(HTMLParser):
    """What a page links to, loads from elsewhere, and can be jumped to; and its words."""

    links: list[str] = field(default_factory=list[str])
    loaded: list[str] = field(default_factory=list[str])
    anchors: set[str] = field(default_factory=set[str])
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if "href" in given:
            (self.links if tag == "a" else self.loaded).append(given["href"])
        self.loaded += [given[name] for name in ("src", "srcset", "poster") if name in given]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Every page by its path in the site."""
    found: dict[str, Page] = {}
    for file in sorted(site.rglob("*.html")):
        found[file.relative_to(site).as_posix()] = page = Page()
        page.feed(file.read_text("utf-8"))
    return found


def test_every_link_leads_to_a_page_and_a_place_on_it(site: Path, pages: dict[str, Page]) -> None:
    lost: list[str] = []
    for name, page in pages.items():
        for link in (*page.links, *page.loaded):
            target = urlsplit(urljoin(f"/{name}", link))
            if target.scheme or target.netloc or name == "404.html":
                continue
            path = unquote(target.path).removeprefix("/") or "index.html"
            jump = unquote(target.fragment)
            if not (site / path).is_file() or (jump and path in pages and jump not in pages[path].anchors):
                lost.append(f"{name}: {link}")
    assert lost == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    loaded = [link for page in pages.values() for link in page.loaded]
    assert [link for link in loaded if urlsplit(link).netloc] == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//", sheet.read_text("utf-8")) == []
    assert "mermaid" not in {word for file in site.rglob("*.html") for word in _classes(file)}


def _classes(file: Path) -> Iterator[str]:
    """The theme would fetch a library for what is of the class "mermaid"."""
    for classes in re.findall(r'class="([^"]*)"', file.read_text("utf-8")):
        yield from classes.split()


def test_every_command_has_its_place_with_every_option(pages: dict[str, Page]) -> None:
    for words, command in all_commands().items():
        page = pages[f"reference/commands/{words.split()[0]}.html"]
        assert f"facegen {words}" in page.words
        if " " in words:
            assert words.replace(" ", "-") in page.anchors
        for option in command.params:
            shown = option.opts if option.param_type_name == "option" else [option.metavar or option.name]
            assert all(name in page.words for name in shown), f"{words} {shown}"


def test_every_key_of_a_recipe_has_its_place_and_its_meaning(pages: dict[str, Page]) -> None:
    anchors = {one for name, page in pages.items() if "reference/recipes/" in name for one in page.anchors}
    for section, family in (*FAMILY_OF_SECTION.items(), ("sampling.sampler", "samplers")):
        for kind in kinds_of(family):
            config = load_kind(family, kind).Config
            told = {f"{config.model_fields['kind'].default}-{section}.{key}" for key in config.model_fields}
            assert {anchor for anchor in told if not anchor.endswith(".kind")} <= anchors
    keys = {one.partition("-")[2] or one for one in anchors}
    for name in preset_names():
        assert set(_keys(compose(name).model_dump())) <= keys


def _keys(section: dict[str, object], path: str = "") -> Iterator[str]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{name}.")
        elif name != "kind" or path in ("optimizer.", "scoring.scores."):
            yield path + name


def test_everything_that_python_offers_is_described(pages: dict[str, Page]) -> None:
    anchors = {one.rpartition(".")[2] for one in pages["reference/python.html"].anchors}
    assert set(facegen.__all__) <= anchors


def test_files_beside_the_pages_come_along(site: Path) -> None:
    for name in ("examples/core.ipynb", "examples/first_faces.ipynb"):
        assert (site / "repository" / name).read_bytes() == (ROOT / name).read_bytes()


def test_it_is_searched_from_a_folder_and_asks_nobody_else(site: Path, browser: Any) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "reference" / "commands" / "train.html").as_uri())
    page.click("input.md-search__input")
    page.keyboard.type("guidance_scale")
    page.wait_for_selector(".md-search-result__link[href*='sampling.guidance_scale']", state="attached")
    page.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
