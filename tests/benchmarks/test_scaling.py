"""The benchmark of several processes: its tables, and its arithmetic for many GPUs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("scaling")


@pytest.fixture
def on_paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("scaling_paper")


def printed(*words: str) -> str:
    command = [sys.executable, str(BENCHMARKS / "scaling.py"), *words]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def rows_of(text: str) -> dict[str, list[float]]:
    """The numbers of each line by the words that it begins with."""
    lines = (re.split(r"\s{2,}", line.removesuffix(" %")) for line in text.splitlines() if line[:1].strip())
    return {
        words: [float(number) for number in numbers] for words, *numbers in lines if _are_numbers(numbers)
    }


def _are_numbers(words: list[str]) -> bool:
    return all(re.fullmatch(r"-?[\d.]+", word) for word in words)


@pytest.mark.slow
def test_two_processes_train_and_every_phase_of_their_steps_is_told() -> None:
    told = printed("--smoke")
    rows = rows_of(told)
    for name in ("2 processes, 32 images each (weak scaling)", "2 that never meet, 16 images each"):
        assert all(number > 0 for number in rows[name])
    assert len(rows["the meeting: two that meet, not two apart"]) == 2
    heads = next(line.split() for line in told.splitlines() if line.startswith("ms a step"))[3:]
    alone, weak = (
        dict(zip(heads, rows[name], strict=True)) for name in ("one, process 0", "weak, process 1")
    )
    assert alone["gradients"] == 0 < weak["gradients"]
    assert all(weak[phase] > 0 for phase in ("compute", "finite", "optimizer", "loading", "other"))
    assert sum(weak[name] for name in heads[: heads.index("step")]) == pytest.approx(weak["step"], abs=0.5)


def steps_of(scaling: Any, milliseconds: Mapping[str, float]) -> dict[Any, list[dict[str, float]]]:
    """Steps that took so long; nothing in them was waited for."""
    parts = dict.fromkeys((*scaling.PHASES, scaling.IDLE, scaling.THREADS), 0.0)
    return {
        setup: [{**parts, scaling.STEP: milliseconds[setup.name] / 1000}] * setup.processes
        for setup in scaling.SETUPS
    }


def test_what_is_lost_is_told_apart(scaling: Any) -> None:
    took = {"one": 320, "one-half": 200, "apart-half": 250, "strong": 320, "apart": 400, "weak": 640}
    rows = rows_of(scaling.losses(steps_of(scaling, took)))
    # images a second of a process: 100 alone, 80 with half a batch, 64 beside another, 50 with another
    assert rows["fewer images a step, in one process"] == [20, 0]
    assert rows["the machine: a second process beside it"] == [16, 20]
    assert rows["the meeting: two that meet, not two apart"] == [14, 30]
    assert rows["together"] == [50, 50]


def test_speed_counts_the_images_of_all_processes(scaling: Any) -> None:
    took = {"one": 320, "one-half": 200, "apart-half": 250, "strong": 200, "apart": 400, "weak": 400}
    rows = rows_of(scaling.speeds(steps_of(scaling, took)))
    assert rows["1 process, 32 images"] == [100, 1, 100]
    assert rows["2 processes, 16 images each (strong scaling)"] == [160, 1.6, 80]
    assert rows["2 processes, 32 images each (weak scaling)"] == [160, 1.6, 80]


def test_the_profile_names_each_process(scaling: Any) -> None:
    steps = steps_of(scaling, dict.fromkeys([setup.name for setup in scaling.SETUPS], 50))
    steps[scaling.WEAK][1] = {**steps[scaling.WEAK][1], "compute": 0.030, "other": 0.020, "idle": 0.002}
    rows = rows_of(scaling.profile(steps))
    assert rows["weak, process 0"] == [0, 0, 0, 0, 0, 0, 50, 0, 0]
    assert rows["weak, process 1"] == [30, 0, 0, 0, 0, 20, 50, 2, 0]


def test_collectives_send_what_rings_do(on_paper: Any) -> None:
    model = on_paper.MODELS[0]
    assert sum(on_paper.collectives(model, 8, "DDP").values()) == pytest.approx(2 * 7 / 8 * 4 * 90e6)
    assert sum(on_paper.collectives(model, 8, "FSDP2").values()) == pytest.approx(3 * 7 / 8 * 4 * 90e6)
    assert sum(on_paper.collectives(model, 8, "DDP", 2).values()) == pytest.approx(2 * 7 / 8 * 2 * 90e6)
    assert sum(on_paper.collectives(model, 1, "DDP").values()) == 0


def test_fast_links_leave_one_piece_and_slow_ones_all_but_the_pass(on_paper: Any) -> None:
    assert on_paper.not_hidden(compute=10, sending=1, pieces=5) == pytest.approx(0.2)
    # the first of five pieces is there after 2 seconds; 100 more pass until all are sent, 10 of them unseen
    assert on_paper.not_hidden(compute=10, sending=100, pieces=5) == pytest.approx(2 + 100 - 10)
    assert on_paper.not_hidden(compute=10, sending=3, pieces=1) == 3


def test_the_network_counts_between_machines_only(on_paper: Any) -> None:
    one, many = (cluster for cluster in on_paper.CLUSTERS if cluster.name.startswith(("8 RTX", "64 RTX")))
    assert one.bandwidth == one.gpu_link == many.gpu_link
    assert many.bandwidth == many.machine_link < one.bandwidth
    plans = [on_paper.planned(on_paper.MODELS[0], cluster, "DDP") for cluster in (one, many)]
    assert plans[0].efficiency > 0.9 > 0.5 > plans[1].efficiency > plans[1].lowest_efficiency


def test_shards_divide_memory(on_paper: Any) -> None:
    model = on_paper.MODELS[1]
    assert on_paper.memory_bytes(model, 8, "DDP") == pytest.approx(20 * 700e6)
    assert on_paper.memory_bytes(model, 8, "FSDP2") == pytest.approx(20 / 8 * 700e6)


def test_the_page_has_the_tables_that_the_arithmetic_prints() -> None:
    page = (BENCHMARKS.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    for line in printed("--paper").splitlines():
        assert line in page
