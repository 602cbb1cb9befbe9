"""The page of a sweep: which run is best and how sure that is, the curves, and every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import facegen
from facegen.formats.far import shared_path
from facegen.formats.run import describe_environment
from facegen.report.blocks import (
    Block,
    Chart,
    Commands,
    Headline,
    Page,
    Section,
    Series,
    Table,
    settings_section,
)
from facegen.report.charts import NUM_COLOURS
from facegen.report.html import write_page
from facegen.report.words import cell, duration, interval, quoted, sure
from facegen.sweeping.results import RunResult, SweepSummary, told_best, told_state

HONESTY = (
    "All runs were judged on the same held-out images with the same noise, whose luck therefore falls out of "
    "the differences. What it leaves out: each run was trained once, and another seed may change the order "
    "(try --grid training.seed=0,1,2); the lowest of several losses is a little too low by having been "
    "chosen; and a loss is not yet how faces look."
)


COLUMNS = ("run", "steps", "time", "held-out loss", "95 %", "above the best", "95 %", "", "state")


def run_rows(runs: Sequence[RunResult]) -> list[list[object]]:
    """A row a run below `COLUMNS`, the best first."""
    return [
        [
            one.name,
            f"{one.step:,} of {one.num_steps:,}",
            duration(one.seconds),
            one.loss,
            interval((one.low, one.high)),
            *_difference(one),
            told_state(one),
        ]
        for one in runs
    ]


def _difference(one: RunResult) -> tuple[object, object, object]:
    found = one.difference
    if found is None:
        return None, None, None
    verdict = {"A better": "worse", "B better": "better"}.get(found.verdict, found.verdict)
    return found.difference, interval((found.low, found.high)), verdict


def write_sweep_page(summary: SweepSummary) -> Path:
    """Write the page and return its path."""
    best = summary.runs[0] if summary.best is not None else None
    headlines = [
        Headline(
            "minutes", f"{summary.seconds / 60:.1f}", "of all calls", target=f"{summary.minutes:g} were given"
        ),
        Headline("runs", f"{len(summary.runs)}", _states(summary.runs)),
    ]
    if best is not None:
        headlines.insert(
            0, Headline("held-out loss", cell(best.loss), best.name, sure(interval((best.low, best.high))))
        )
    runs = Table(COLUMNS, run_rows(summary.runs))
    page = Page(
        title=f"Sweep of {summary.recipe}",
        summary=[told_best(summary), HONESTY],
        headlines=headlines,
        sections=[
            Section("How they learned", curves(summary.runs)),
            Section("Every run", [runs.filled()]),
            *([Section("What to do next", [_next(summary, best)])] if best is not None else []),
            *settings_section("Environment", describe_environment()),
        ],
        footer=f"Made by facegen {facegen.__version__}.",
    )
    return write_page(page, summary.page)


def curves(runs: Sequence[RunResult]) -> list[Block]:
    """Held-out losses over the steps in one picture, and by itself each group that shares its colours."""
    lines = [
        Series(one.name, list(one.losses), list(one.losses.values()), dashed=one.state != "finished")
        for one in runs
        if one.losses
    ]
    if not lines:
        return ["No run was judged on its way."]
    shown, others = lines[:NUM_COLOURS], lines[NUM_COLOURS:]
    told = "Lower is better; dashed lines are of runs that did not make all their steps."
    if others:
        told += f" Shown are the {len(shown)} best; the others follow."
    rest = [others[start : start + NUM_COLOURS] for start in range(0, len(others), NUM_COLOURS)]
    return [
        Chart(shown, "Held-out loss", told, y_label="loss"),
        *(Chart(group, "Held-out loss of others", y_label="loss") for group in rest),
    ]


def _states(runs: Sequence[RunResult]) -> str:
    counts = Counter(one.state for one in runs)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _next(summary: SweepSummary, best: RunResult) -> Commands:
    out = shared_path(summary.out)
    run, recipe = quoted(f"{out}/{best.name}"), quoted(f"{out}/recipes/{best.name}.yaml")
    lines = [f"facegen report {run}", f"facegen runs {quoted(out)}"]
    rival = next((one for one in summary.runs[1:] if one.difference is not None), None)
    if rival is not None:
        lines.append(f"facegen compare {run} {quoted(f'{out}/{rival.name}')} --score loss")
    longer = f"--run {quoted(f'{out}-longer')} --set training.max_steps={4 * best.num_steps}"
    lines += ["# The best settings for four times as many steps", f"facegen train --config {recipe} {longer}"]
    return Commands(lines)
