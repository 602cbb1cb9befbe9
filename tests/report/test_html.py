"""The report is one safe file that shows what it was given."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from facegen.report.blocks import (
    Chart,
    Commands,
    Facts,
    Figure,
    Fold,
    Headline,
    Page,
    Section,
    Series,
    Shares,
    Table,
    settings_section,
)
from facegen.report.html import render_page, write_page

HOSTILE = "<script>alert(\"x\")</script> & 'quoted'"


class _Parsed(HTMLParser):
    """Collects tags, addresses and text; notices tags that do not close."""

    VOID = ("meta", "img", "br", "link", "circle", "line", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _everything(text: str, folder: Path) -> Page:
    picture = folder / "red.png"
    Image.new("RGB", (8, 6), "red").save(picture)
    blocks = [
        text,
        Figure(picture, text, text, text),
        Chart([Series(text, [1, 2], [3, 4])], text, text, text, text),
        Shares([(text, 0.5, 0.75)], text, text, text),
        Table((text, "value"), [(text, 1.0)], title=text, caption=text),
        Facts({text: text}, text),
        Commands([text]),
    ]
    return Page(
        title=text,
        summary=[text],
        headlines=[Headline(text, text, text, text, text)],
        sections=[
            Section(text, [*blocks, Fold(text, blocks)]),
            Section(text, blocks, collapsed=True),
            *settings_section(text, {text: text}),
        ],
        footer=text,
    )


def _table(*columns: str, row: tuple[object, ...]) -> str:
    return render_page(Page("T", ["S"], sections=[Section("P", [Table(columns, [row])])]))


def test_every_text_is_escaped(tmp_path: Path) -> None:
    page = render_page(_everything(HOSTILE, tmp_path))
    assert "script" not in _Parsed(page).tags
    assert "<script" not in page
    assert HOSTILE in _Parsed(page).text


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = _Parsed(render_page(_everything("plain", tmp_path)))
    assert page.open == []
    assert "link" not in page.tags
    assert page.addresses
    assert all(address.startswith(("data:image/", "#part-")) for address in page.addresses)


def test_the_page_follows_the_readers_colour_scheme_and_width() -> None:
    page = render_page(Page("Title", ["Summary"]))
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width' in page
    assert "Content-Security-Policy" in page


def _with(picture: Path) -> str:
    return render_page(Page("T", ["S"], sections=[Section("P", [Figure(picture)])]))


def test_a_picture_is_embedded_with_its_size_and_type(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4), (10, 20, 30)).save(tmp_path / "grid.png")
    Image.new("RGB", (5, 4)).save(tmp_path / "photo.jpg")
    assert 'width="5" height="4"' in _with(tmp_path / "grid.png")
    assert "data:image/png;base64," in _with(tmp_path / "grid.png")
    assert "data:image/jpeg;base64," in _with(tmp_path / "photo.jpg")


def test_a_chart_and_a_bar_can_be_read_without_seeing_them(tmp_path: Path) -> None:
    page = render_page(_everything("plain", tmp_path))
    assert 'role="img" aria-label="plain by plain"' in page
    assert ">plain</th>" in page
    assert ">50.0 %</td>" in page
    assert "left: 50.0%" in page
    assert "left: 75.0%" in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        ({"a": 1}, "a: 1"),
        ([1, 2], "1, 2"),
    ],
)
def test_table_cells_read_well(value: object, shown: str) -> None:
    assert f">{shown}</td>" in _table("x", row=(value,))


def test_number_columns_are_aligned_right_and_text_columns_are_not() -> None:
    assert '<th class="number">n</th><th>t</th>' in _table("n", "t", row=(1, "a"))


def test_columns_that_say_nothing_are_left_out_on_request() -> None:
    table = Table(("a", "b", "c"), [(1, None, None), (2, None, 3)])
    assert table.filled() == Table(("a", "c"), [(1, None), (2, 3)])


def test_writing_replaces_the_old_page_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(Page("Old", ["S"]), path)
    assert write_page(Page("New", ["S"]), path) == path
    assert "<h1>New</h1>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
