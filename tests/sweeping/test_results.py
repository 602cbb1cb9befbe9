"""What the runs came to: in a table, in words, on a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facegen.evaluation.compare import Difference
from facegen.sweeping.page import COLUMNS, run_rows, write_sweep_page
from facegen.sweeping.results import RunResult, SweepSummary, told_best, told_state

BEST = RunResult(
    "lr=0.01",
    Path("out/lr=0.01"),
    {"optimizer.lr": 0.01},
    "finished",
    "",
    80,
    80,
    61.0,
    0.5,
    0.4,
    0.6,
    {40: 0.7},
)
SURE = Difference("loss", "lower", 0.5, 0.9, (0.4, 0.6), (0.8, 1.0), 0.4, 0.35, 0.45, "A better", ("images",))
WORSE = replace(
    BEST,
    name="lr=0.1",
    state="stopped early",
    about="worse than the median",
    step=40,
    loss=0.9,
    difference=SURE,
)
FAILED = replace(
    BEST, name="lr=1e+18", state="failed", about="not finite", step=0, loss=None, low=None, high=None
)


def summary(out: Path, *runs: RunResult) -> SweepSummary:
    best = runs[0].name if runs[0].loss is not None else None
    return SweepSummary(out, out / "index.html", "tiny", 5.0, 200.0, 8, best, runs)


def test_a_row_tells_the_difference_and_why_a_run_ended() -> None:
    best, worse, failed = (
        dict(zip(enumerate(COLUMNS), row, strict=True)) for row in run_rows([BEST, WORSE, FAILED])
    )
    assert best[5, "above the best"] is None
    assert worse[5, "above the best"] == 0.4
    assert worse[6, "95 %"] == "0.35 to 0.45"
    assert worse[7, ""] == "worse"
    assert worse[8, "state"] == "stopped early at step 40: worse than the median"
    assert failed[3, "held-out loss"] is None
    assert told_state(BEST) == "finished"


def test_the_best_is_told_with_how_many_it_surely_beats() -> None:
    equal = replace(WORSE, difference=replace(SURE, verdict="no difference shown"))
    told = told_best(summary(Path("out"), BEST, equal, WORSE, FAILED))
    assert told.startswith("Lowest held-out loss: lr=0.01, 0.5 (0.4 to 0.6)")
    assert "lower than 1 of the 2 others" in told
    assert told_best(summary(Path("out"), FAILED)) == "No run has a held-out loss."


def test_the_page_has_every_run_and_commands_that_hold_beside_its_folder(tmp_path: Path) -> None:
    many = [replace(WORSE, name=f"lr={number}") for number in range(7)]
    page = write_sweep_page(summary(tmp_path / "tries", BEST, *many, FAILED)).read_text("utf-8")
    assert all(f"lr={number}" in page for number in range(7))
    assert "lr=1e+18" in page
    assert "facegen compare tries/lr=0.01 tries/lr=0 --score loss" in page
    assert "Held-out loss of others" in page
    assert str(tmp_path) not in page
