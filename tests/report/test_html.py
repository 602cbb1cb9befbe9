"""The report is one safe file that shows what it was given."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from facegen.report.charts import Series, line_chart
from facegen.report.html import (
    Chart,
    Commands,
    Figure,
    Headline,
    Report,
    Section,
    Table,
    render_report,
    write_report,
)

HOSTILE = "<script>alert(\"x\")</script> & 'quoted'"


class _Page(HTMLParser):
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


def _everything(text: str) -> Report:
    image = Image.new("RGB", (8, 6), "red")
    blocks = [
        text,
        Figure(image, caption=text, title=text, alt=text),
        Chart(line_chart([Series(text, [1, 2], [3, 4])], x_label=text, y_label=text, alt=text), text, text),
        Table((text, "value"), [(text, 1.0)], title=text, caption=text),
        Commands([text], title=text),
    ]
    return Report(
        title=text,
        summary=text,
        headlines=[Headline(text, text, text, text, text)],
        sections=[Section(text, blocks), Section(text, blocks, collapsed=True)],
        settings={text: text},
        environment={text: text},
        next_steps=[text],
        footer=text,
    )


def test_every_text_is_escaped() -> None:
    page = render_report(_everything(HOSTILE))
    assert "script" not in _Page(page).tags
    assert "<script" not in page
    assert HOSTILE in _Page(page).text


def test_the_page_is_well_formed_and_asks_nothing_of_the_network() -> None:
    page = _Page(render_report(_everything("plain")))
    assert page.open == []
    assert "link" not in page.tags
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)


def test_the_page_follows_the_readers_colour_scheme_and_width() -> None:
    page = render_report(Report("Title", "Summary"))
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width' in page
    assert "Content-Security-Policy" in page


def test_a_picture_may_be_an_image_a_file_or_bytes(tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), (10, 20, 30))
    path = tmp_path / "grid.png"
    image.save(path)
    pages = [
        render_report(Report("T", "S", sections=[Section("P", [Figure(picture)])]))
        for picture in (image, path, path.read_bytes())
    ]
    assert all('width="5" height="4"' in page for page in pages)


def test_a_jpeg_keeps_its_type(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (5, 4)).save(path)
    assert "data:image/jpeg;base64," in render_report(
        Report("T", "S", sections=[Section("P", [Figure(path)])])
    )


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
    page = render_report(Report("T", "S", sections=[Section("P", [Table(("x",), [(value,)])])]))
    assert f">{shown}</td>" in page


def test_number_columns_are_aligned_right_and_text_columns_are_not() -> None:
    page = render_report(Report("T", "S", sections=[Section("P", [Table(("n", "t"), [(1, "a"), (2, "b")])])]))
    assert '<th class="number">n</th><th>t</th>' in page


def test_writing_replaces_the_old_page_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(Report("Old", "S"), path)
    assert write_report(Report("New", "S"), path) == path
    assert "<h1>New</h1>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
