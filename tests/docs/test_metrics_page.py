"""The table of metrics says what the code does."""

from __future__ import annotations

from pathlib import Path

from facegen.metrics import cmmd, mind, precision_recall
from facegen.models.feature_networks import NETWORKS
from facegen.models.published_metrics import PUBLISHED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text("utf-8")
RESIZES = {
    "bilinear-tf1-299": "TensorFlow 1's bilinear to 299, no antialiasing",
    "bilinear-tf1-224": "TensorFlow 1's bilinear to 224, no antialiasing",
    "pillow-bicubic-exact-299": "Pillow's bicubic to 299, each channel, not rounded",
    "pillow-bicubic-rounded-224": "Pillow's bicubic to 224, rounded",
    "pillow-bicubic-rounded-336:unit": "Pillow's bicubic to 336, rounded",
}


def rows() -> list[dict[str, str]]:
    """The first table, with "the same" spelled out."""
    lines = [line for line in PAGE.split("\n## ")[0].splitlines() if line.startswith("|")]
    names, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found: list[dict[str, str]] = []
    for cells in body:
        row = dict(zip(names, cells, strict=True))
        found.append({name: found[-1][name] if cell == "the same" else cell for name, cell in row.items()})
    return found


def test_every_published_metric_has_its_row_with_resize_and_weights() -> None:
    for metric in PUBLISHED:
        (row,) = [row for row in rows() if metric.name in row["metric"].split(", ")]
        network = NETWORKS[metric.features]
        assert row["weights (sha256)"] == f"`{network.published.sha256[:16]}`", metric
        assert row["resize"] == RESIZES[network.resize], metric


def test_the_numbers_of_protocols_are_those_of_the_code() -> None:
    protocols = " ".join(row["protocol"] for row in rows())
    assert f"sigma {cmmd.SIGMA:.0f}, times {cmmd.SCALE:,.0f}" in protocols
    assert f"{mind.Config().projections:,} directions" in protocols
    assert f"k = {precision_recall.NEIGHBOURS}, as torch-fidelity" in protocols
    assert f"k = {precision_recall.COVERAGE_NEIGHBOURS}, open balls" in protocols
