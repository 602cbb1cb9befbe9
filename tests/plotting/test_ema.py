"""`facegen plot ema`: what stands in the figure and its table, with losses that are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.figure_parts import Drawn, numbers_of

from facegen.plotting import ema
from facegen.plotting.ema import plot_ema
from facegen.training.ema_afterwards import WidthCurve, WidthScore

LOSSES = {0.02: 0.5, 0.05: 0.4, 0.12: 0.3, 0.2: 0.35}
SCORES = tuple(WidthScore(width, loss, width == 0.05, 0.001) for width, loss in LOSSES.items())


def draw(monkeypatch: pytest.MonkeyPatch, out: Path, curve: WidthCurve) -> tuple[ema.PlotSummary, Drawn]:
    monkeypatch.setattr(ema, "width_curve", lambda run, widths, **asked: curve)
    drawn = Drawn(ema, monkeypatch)
    return plot_ema(Path("runs/faces"), out, csv=True), drawn


def legend(drawn: Drawn) -> list[str]:
    return [text.get_text() for text in drawn.plot.figure.legends[0].get_texts()]


def test_the_best_width_is_told_and_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary, drawn = draw(monkeypatch, tmp_path / "ema.png", WidthCurve(900, SCORES))
    assert summary.facts["best width"] == 0.12
    assert summary.facts["width 0.05"] == 0.4
    assert summary.facts["make it"] == "facegen ema runs/faces --width 0.12 --step 900"
    (axes,) = drawn.plot.figure.axes
    assert [text.get_text() for text in axes.texts] == ["best: width 0.12, 0.3"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.02", "0.05", "0.12", "0.2"]
    assert legend(drawn) == ["width kept in training", "width made afterwards"]
    table = numbers_of(summary)
    assert dict(zip(table["width"], table["loss"], strict=True)) == LOSSES
    assert table["kept"].tolist() == [False, True, False, False]


def test_losses_beside_the_curve_are_drawn_where_they_are_near(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    curve = WidthCurve(900, SCORES, as_trained=9.0, running_average=0.45)
    _, drawn = draw(monkeypatch, tmp_path / "ema.svg", curve)
    assert legend(drawn)[2:] == [
        "running average (ema.decay): 0.45",
        "weights as trained: 9, out of the picture",
    ]
    low, high = drawn.plot.figure.axes[0].get_ylim()
    assert low < 0.3 < 0.5 < high < 1


def test_a_single_width_can_be_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary, _ = draw(monkeypatch, tmp_path / "one.png", WidthCurve(900, SCORES[:1]))
    assert summary.path.read_bytes().startswith(b"\x89PNG")


def test_the_same_figure_is_the_same_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = [draw(monkeypatch, tmp_path / f"{n}.svg", WidthCurve(9, SCORES))[0].path for n in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()
