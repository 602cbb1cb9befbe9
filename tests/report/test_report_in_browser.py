"""The report page in a real browser: it asks for nothing, complains of nothing and fits on a phone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.report_parts import HOSTILE, write_evaluations, write_run

from facegen.report.report import report

WIDTHS = {"phone": 390, "desktop": 1200}


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every part there is, with hostile words wherever people's words stand."""
    folder = tmp_path_factory.mktemp("report")
    run = write_run(folder / "run", data=folder / "data", about=HOSTILE)
    write_evaluations(run, words=HOSTILE)
    return report(run).page


@dataclass
class Opened:
    page: Any
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def opened(browser: Any, html: Path, **options: Any) -> Opened:
    """The page with all folds open, after everything that it might do by itself."""
    found = Opened(browser.new_page(**options))
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("console", lambda said: found.complaints.append(said.text))
    found.page.on("dialog", lambda dialog: (found.complaints.append(dialog.message), dialog.dismiss()))
    found.page.goto(html.as_uri(), wait_until="networkidle")
    found.page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", WIDTHS)
def test_the_page_asks_for_nothing_and_fits_the_screen(browser: Any, html: Path, screen: str, scheme: str):
    size = {"width": WIDTHS[screen], "height": 844}
    found = opened(browser, html, viewport=size, color_scheme=scheme)
    assert [url for url in found.asked if not url.startswith("data:")] == [html.as_uri()]
    assert found.complaints == []
    assert found.page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[screen]
    broken = "[...document.images].filter(image => !image.naturalWidth).length"
    assert found.page.evaluate("document.images.length") > 5
    assert found.page.evaluate(broken) == 0
    sideways = """[...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll, pre, svg')
        && part.getBoundingClientRect().right > innerWidth + 1).map(part => part.outerHTML.slice(0, 80))"""
    assert found.page.evaluate(sideways) == []
    found.page.close()


CONTRAST = """() => {
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const parse = text => text.match(/[0-9.]+/g).map(Number);
  const behind = part => {
    for (let one = part; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length == 3 || colour[3] == 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return Math.min(...[...document.querySelectorAll('h1, h2, h3, p, td, th, a, dt, dd, figcaption, summary')]
    .filter(part => part.textContent.trim() && !part.closest('.dim')).map(part => {
      const [a, b] = [light(parse(getComputedStyle(part).color).slice(0, 3)), light(behind(part))];
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    }));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Any, html: Path, scheme: str):
    found = opened(browser, html, color_scheme=scheme)
    assert found.page.evaluate(CONTRAST) >= 4.5, "WCAG AA"
    found.page.close()


def test_dark_and_light_follow_the_reader(browser: Any, html: Path):
    shades = []
    for scheme in ("light", "dark"):
        found = opened(browser, html, color_scheme=scheme)
        shades.append(found.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found.page.close()
    light, dark = (sum(map(float, shade.strip("rgb()").split(","))) / 3 for shade in shades)
    assert light > 230
    assert dark < 60
